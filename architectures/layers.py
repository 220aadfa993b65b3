"""Layers that Keras lacks: higher-order recurrence, memory without recurrence, masked pooling.

- `HigherOrderRNNCell`: Soltani & Jiang, "Higher Order Recurrent Neural Networks", 2016.
- `TappedDelayLine`: a learned finite impulse response filter, as in time-delay networks (Waibel
  et al., "Phoneme Recognition Using Time-Delay Neural Networks", 1989; matrix taps) and in
  sequential memory networks (Zhang et al., "Feedforward Sequential Memory Networks", 2015; scalar
  and vector taps).
- `AttentionMemory`: a weighted sum over the past with weights computed from the sequence.
- `SequencePooling`, `AttentionPooling`: pooling over time; the latter follows Yang et al.,
  "Hierarchical Attention Networks for Document Classification", 2016.

Sequences are float [batch, time, features]. A mask, [batch, time], is true or 1 at real steps and
is passed explicitly; without a mask all steps are real. Values at masked steps do not change the
output at real steps, and a sequence without real steps is pooled to zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from architectures.checks import check_choice, check_counts

VARIANTS = ("plain", "max", "fofe", "gated")
TAPS = ("scalar", "vector", "matrix")
POOLINGS = ("last", "mean", "max")

_register = keras.saving.register_keras_serializable(package="architectures")


@_register
class HigherOrderRNNCell(layers.Layer):
    """A recurrent cell that reads its last K states, each through its own kernel.

    h_t = f(W_xh x_t + m_t + b), where the memory m_t combines the paths p_k = W_k h_{t-k}, k = 1 to
    K:

    - "plain": their sum; with K = 1 this is the simple recurrent network;
    - "max": their elementwise maximum;
    - "fofe": their sum with weights alpha^k, the fixed-size ordinally-forgetting encoding;
    - "gated": their sum, each multiplied by a gate sigmoid(G_k x_t + H_k h_{t-k}).

    States before the first are zero. With i inputs and u units there are iu + Ku^2 + u parameters,
    and K(iu + u^2) more with gates. The K kernels are initialized as one orthogonal matrix with K u
    rows, so that the norm of the memory is at first at most that of the past states together.

    To be used in `keras.layers.RNN`; the K states are h_{t-1}, ..., h_{t-K}, each [batch, units].

    Args:
        units: Size of a state.
        order: Number of past states, K.
        variant: "plain", "max", "fofe" or "gated".
        forgetting: alpha in (0, 1), used only by "fofe".
        activation: The function f.
    """

    def __init__(
        self,
        units: int,
        *,
        order: int = 3,
        variant: str = "plain",
        forgetting: float = 0.6,
        activation: Any = "tanh",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_counts("HigherOrderRNNCell", units=[units], order=[order])
        check_choice("HigherOrderRNNCell", "variant", variant, VARIANTS)
        if not 0 < forgetting < 1:
            raise ValueError(f"HigherOrderRNNCell: forgetting must be in (0, 1), not {forgetting}")
        self.units = units
        self.order = order
        self.variant = variant
        self.forgetting = forgetting
        self.activation = keras.activations.get(activation)
        self.state_size = [units] * order
        self.output_size = units

    def build(self, input_shape: Sequence[Any]) -> None:
        inputs, units, order = input_shape[-1], self.units, self.order
        self.kernel = self.add_weight((inputs, units), "glorot_uniform", name="kernel")
        self.recurrent_kernel = self.add_weight(
            (order, units, units), "orthogonal", name="recurrent_kernel"
        )
        self.bias = self.add_weight((units,), "zeros", name="bias")
        if self.variant == "gated":
            self.gate_kernel = self.add_weight(
                (order, inputs, units), "glorot_uniform", name="gate_kernel"
            )
            self.gate_recurrent_kernel = self.add_weight(
                (order, units, units), "orthogonal", name="gate_recurrent_kernel"
            )

    def call(self, inputs: Any, states: Any) -> Any:
        past = ops.stack(states)
        paths = ops.matmul(past, self.recurrent_kernel)  # [K, batch, units], newest first
        if self.variant == "max":
            memory = ops.max(paths, axis=0)
        else:
            if self.variant == "fofe":
                paths = [self.forgetting ** (k + 1) * paths[k] for k in range(self.order)]
            elif self.variant == "gated":
                gates = ops.matmul(inputs, self.gate_kernel)
                gates += ops.matmul(past, self.gate_recurrent_kernel)
                paths = ops.sigmoid(gates) * paths
            memory = ops.sum(paths, axis=0)
        state = self.activation(ops.matmul(inputs, self.kernel) + memory + self.bias)
        return state, [state, *states[:-1]]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "order": self.order,
            "variant": self.variant,
            "forgetting": self.forgetting,
            "activation": keras.activations.serialize(self.activation),
        }


@_register
class TappedDelayLine(layers.Layer):
    """A causal filter with learned taps a_i: z_t = sum of a_i y_{t-i} over i = 0..L-1.

    The taps are the same at all steps. y is zero before the start and at masked steps, which count
    as steps: y_{t-i} is always i steps back. The output has the shape of the input. Parameters: L,
    L f or L f^2 for f features. The taps are initialized such that the variance of an uncorrelated
    sequence is preserved.

    Args:
        length: Number of taps, L.
        taps: "scalar" for one number per tap, "vector" for one weight per feature, "matrix" for a
            matrix that mixes features.
    """

    def __init__(self, length: int, *, taps: str = "vector", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_counts("TappedDelayLine", length=[length])
        check_choice("TappedDelayLine", "taps", taps, TAPS)
        self.length = length
        self.taps = taps
        self.supports_masking = True

    def build(self, input_shape: Sequence[Any]) -> None:
        shape = (self.length,) + TAPS.index(self.taps) * (input_shape[-1],)
        self.kernel = self.add_weight(shape, "lecun_uniform", name="taps")

    def call(self, inputs: Any, mask: Any = None) -> Any:
        inputs = _hide(inputs, _real_steps(inputs, mask))
        steps = ops.shape(inputs)[1]
        product = ops.matmul if self.taps == "matrix" else ops.multiply
        total = 0.0
        for delay in range(self.length):
            delayed = ops.pad(inputs, ((0, 0), (delay, 0), (0, 0)))[:, :steps]
            total += product(delayed, self.kernel[delay])
        return total

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "length": self.length, "taps": self.taps}


@_register
class AttentionMemory(layers.Layer):
    """A sum over the past with computed weights: z_t = sum of a_i(t) y_{t-i} over all i >= 0.

    a_i(t) is the softmax over i of (W_q y_t) . (W_k y_{t-i}) / sqrt(d): attention with one head
    from the current step to itself and all past ones. The steps themselves are summed, not
    projections of them, and neither projection has a bias: that of the keys would cancel in the
    softmax. The output has the shape of the input. Parameters: 2 f d for f features.

    Called with `return_attention_scores=True` it also returns the weights, [batch, time, time],
    with a_i(t) in row t, column t - i.

    Args:
        key_dim: Size of queries and keys, d.
    """

    def __init__(self, key_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_counts("AttentionMemory", key_dim=[key_dim])
        self.key_dim = key_dim
        self.supports_masking = True

    def build(self, input_shape: Sequence[Any]) -> None:
        shape = (input_shape[-1], self.key_dim)
        self.query_kernel = self.add_weight(shape, "glorot_uniform", name="query_kernel")
        self.key_kernel = self.add_weight(shape, "glorot_uniform", name="key_kernel")

    def call(self, inputs: Any, mask: Any = None, return_attention_scores: bool = False) -> Any:
        real = _real_steps(inputs, mask)
        inputs = _hide(inputs, real)
        queries = ops.matmul(inputs, self.query_kernel) / self.key_dim**0.5
        keys = ops.matmul(inputs, self.key_kernel)
        time = ops.arange(ops.shape(inputs)[1])
        past = time[:, None] >= time[None, :]
        weights = _masked_softmax(
            ops.einsum("btd,bsd->bts", queries, keys), ops.logical_and(past, real[:, None])
        )
        memory = ops.matmul(weights, inputs)
        return (memory, weights) if return_attention_scores else memory

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "key_dim": self.key_dim}


@_register
class SequencePooling(layers.Layer):
    """Pooling over time: the last real step, or the mean or maximum of the real steps.

    Keras supports a mask only in mean pooling, and divides by zero if no step is real.

    Args:
        mode: "last", "mean" or "max".
    """

    def __init__(self, mode: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_choice("SequencePooling", "mode", mode, POOLINGS)
        self.mode = mode

    def call(self, inputs: Any, mask: Any = None) -> Any:
        real = _real_steps(inputs, mask)
        hidden = _hide(inputs, real)
        if self.mode == "last":
            last = ops.max(ops.where(real, ops.arange(ops.shape(inputs)[1]), 0), axis=1)
            return ops.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]
        if self.mode == "mean":
            count = ops.sum(ops.cast(real, "int32"), axis=1)[:, None]
            return ops.sum(hidden, axis=1) / ops.cast(ops.maximum(count, 1), hidden.dtype)
        largest = ops.max(_hide(inputs, real, -float("inf")), axis=1)
        return ops.where(ops.any(real, axis=1)[:, None], largest, 0.0)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None  # The output has no time axis.

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mode": self.mode}


@_register
class AttentionPooling(layers.Layer):
    """Pooling over time by attention: the sum of the steps, weighted by similarity to a query.

    a_t is the softmax over the real steps of q . tanh(W x_t + b), where the query q is learned, as
    are W and b. Parameters: f u + 2 u for f features.

    Called with `return_attention_scores=True` it also returns the weights a, [batch, time].

    Args:
        units: Size of the query, u.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_counts("AttentionPooling", units=[units])
        self.units = units

    def build(self, input_shape: Sequence[Any]) -> None:
        shape = (input_shape[-1], self.units)
        self.kernel = self.add_weight(shape, "glorot_uniform", name="kernel")
        self.bias = self.add_weight((self.units,), "zeros", name="bias")
        self.query = self.add_weight((self.units, 1), "glorot_uniform", name="query")

    def call(self, inputs: Any, mask: Any = None, return_attention_scores: bool = False) -> Any:
        real = _real_steps(inputs, mask)
        inputs = _hide(inputs, real)
        scores = ops.matmul(ops.tanh(ops.matmul(inputs, self.kernel) + self.bias), self.query)
        weights = _masked_softmax(scores[:, :, 0], real)
        pooled = ops.einsum("bt,btf->bf", weights, inputs)
        return (pooled, weights) if return_attention_scores else pooled

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None  # The output has no time axis.

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def _real_steps(inputs: Any, mask: Any) -> Any:
    """Returns the mask as booleans, [batch, time]."""
    if mask is None:
        return ops.ones(ops.shape(inputs)[:2], dtype="bool")
    return ops.cast(mask, "bool")


def _hide(inputs: Any, real: Any, value: Any = 0.0) -> Any:
    """Returns the sequence with `value` at steps that are not real."""
    return ops.where(real[:, :, None], inputs, value)


def _masked_softmax(scores: Any, visible: Any) -> Any:
    """Returns the softmax over the visible scores of the last axis; zeros where none is visible."""
    # In half precision many small weights would not sum to one.
    exact = ops.cast(scores, keras.backend.result_type(scores.dtype, "float32"))
    weights = ops.softmax(ops.where(visible, exact, -1e9), axis=-1)
    return ops.cast(ops.where(visible, weights, 0.0), scores.dtype)
