"""Layers that Keras lacks: higher-order recurrence, memories without recurrence, masked pooling.

- `HigherOrderRNNCell`: Soltani & Jiang, "Higher Order Recurrent Neural Networks", 2016.
- `TappedDelayLine`: a learned finite impulse response filter, as in time-delay networks (Waibel
  et al., "Phoneme Recognition Using Time-Delay Neural Networks", 1989; matrix taps) and in
  sequential memory networks (Zhang et al., "Feedforward Sequential Memory Networks", 2015; scalar
  and vector taps).
- `AttentionMemory`: the same weighted sum over the past, its weights computed from the sequence.
- `SequencePooling`, `AttentionPooling`: one vector for a sequence; the latter follows Yang et al.,
  "Hierarchical Attention Networks for Document Classification", 2016.

Sequences are float [batch, time, features]. A mask, [batch, time], is true or 1 at real steps and
is passed explicitly; without one all steps are real. What stands at a masked step changes no
output of a real one, and a sequence without any real step is pooled to zeros.
"""

from __future__ import annotations

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
    """A recurrent cell that is fed its last K states, each through a path of its own.

    h_t = f(W_xh x_t + m_t + b), where the memory m_t joins the paths p_k = W_k h_{t-k}, k = 1..K:

    - "plain": their sum; with K = 1 this is the simple recurrent network;
    - "max": element by element the largest of them;
    - "fofe": their sum with weights alpha^k, the fixed-size ordinally-forgetting encoding;
    - "gated": their sum, each multiplied by a gate sigmoid(G_k x_t + H_k h_{t-k}).

    States before the first are zero. With i inputs and u units there are iu + Ku^2 + u parameters,
    and K(iu + u^2) more with gates. The K kernels start as one orthogonal matrix of K u rows, so
    that at first the summed memory is no longer than the past states together.

    Used in `keras.layers.RNN`; its K states are h_{t-1}, ..., h_{t-K}, each [batch, units].

    Args:
        units: Size of a state.
        order: K.
        variant: One of the above.
        forgetting: alpha in (0, 1), for "fofe" alone.
        activation: f.
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

    def build(self, input_shape):
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

    def call(self, inputs, states):
        past = ops.stack(states)
        paths = ops.matmul(past, self.recurrent_kernel)  # [K, batch, units], the newest first
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

    def get_config(self):
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
    """z_t = sum of a_i y_{t-i} over i = 0..L-1: a causal filter whose taps a_i are learned.

    The taps are the same at all times. y is zero before the start and at masked steps; those still
    take their time, so that y_{t-i} is i steps back whatever lies between. The sequence keeps its
    shape. Parameters: L, L f or L f^2 for f features. The taps start with a variance that leaves
    that of an uncorrelated sequence as it is.

    Args:
        length: L.
        taps: "scalar" for numbers; "vector" to weight each feature by itself; "matrix" to mix them.
    """

    def __init__(self, length: int, *, taps: str = "vector", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_counts("TappedDelayLine", length=[length])
        check_choice("TappedDelayLine", "taps", taps, TAPS)
        self.length = length
        self.taps = taps
        self.supports_masking = True

    def build(self, input_shape):
        shape = (self.length,) + TAPS.index(self.taps) * (input_shape[-1],)
        self.kernel = self.add_weight(shape, "lecun_uniform", name="taps")

    def call(self, inputs, mask=None):
        inputs = _hide(inputs, _real_steps(inputs, mask))
        steps = ops.shape(inputs)[1]
        product = ops.matmul if self.taps == "matrix" else ops.multiply
        total = 0.0
        for delay in range(self.length):
            delayed = ops.pad(inputs, ((0, 0), (delay, 0), (0, 0)))[:, :steps]
            total += product(delayed, self.kernel[delay])
        return total

    def get_config(self):
        return {**super().get_config(), "length": self.length, "taps": self.taps}


@_register
class AttentionMemory(layers.Layer):
    """z_t = sum of a_i(t) y_{t-i} over all i >= 0, with weights that depend on the sequence.

    a_i(t) is the softmax over i of (W_q y_t) . (W_k y_{t-i}) / sqrt(d): attention of one head from
    the present step to itself and all past ones. The steps themselves are summed, not projections
    of them, and neither map has a bias: that of the keys would cancel in the softmax. The sequence
    keeps its shape. Parameters: 2 f d for f features.

    Called with `return_attention_scores=True` it also returns the weights, [batch, time, time]:
    a_i(t) stands in row t, column t - i.

    Args:
        key_dim: d, the size of queries and keys.
    """

    def __init__(self, key_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_counts("AttentionMemory", key_dim=[key_dim])
        self.key_dim = key_dim
        self.supports_masking = True

    def build(self, input_shape):
        shape = (input_shape[-1], self.key_dim)
        self.query_kernel = self.add_weight(shape, "glorot_uniform", name="query_kernel")
        self.key_kernel = self.add_weight(shape, "glorot_uniform", name="key_kernel")

    def call(self, inputs, mask=None, return_attention_scores=False):
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

    def get_config(self):
        return {**super().get_config(), "key_dim": self.key_dim}


@_register
class SequencePooling(layers.Layer):
    """One vector for a sequence: its last real step, or the mean or the maximum of its real steps.

    Keras pools with a mask only by mean, and then divides by zero where no step is real.

    Args:
        mode: "last", "mean" or "max".
    """

    def __init__(self, mode: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_choice("SequencePooling", "mode", mode, POOLINGS)
        self.mode = mode

    def call(self, inputs, mask=None):
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

    def compute_mask(self, inputs, previous_mask):
        return None  # there is no time left

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}


@_register
class AttentionPooling(layers.Layer):
    """One vector for a sequence: the sum of its steps, weighted by their likeness to a query.

    a_t is the softmax over the real steps of q . tanh(W x_t + b), with the query q learned like W
    and b. Parameters: f u + 2 u for f features.

    Called with `return_attention_scores=True` it also returns the weights a, [batch, time].

    Args:
        units: u, the size of the query.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_counts("AttentionPooling", units=[units])
        self.units = units

    def build(self, input_shape):
        shape = (input_shape[-1], self.units)
        self.kernel = self.add_weight(shape, "glorot_uniform", name="kernel")
        self.bias = self.add_weight((self.units,), "zeros", name="bias")
        self.query = self.add_weight((self.units, 1), "glorot_uniform", name="query")

    def call(self, inputs, mask=None, return_attention_scores=False):
        real = _real_steps(inputs, mask)
        inputs = _hide(inputs, real)
        likeness = ops.matmul(ops.tanh(ops.matmul(inputs, self.kernel) + self.bias), self.query)
        weights = _masked_softmax(likeness[:, :, 0], real)
        pooled = ops.einsum("bt,btf->bf", weights, inputs)
        return (pooled, weights) if return_attention_scores else pooled

    def compute_mask(self, inputs, previous_mask):
        return None  # there is no time left

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def _real_steps(inputs, mask):
    """Returns the mask as booleans, [batch, time]."""
    if mask is None:
        return ops.ones(ops.shape(inputs)[:2], dtype="bool")
    return ops.cast(mask, "bool")


def _hide(inputs, real, value=0.0):
    """Returns the sequence with `value` in place of what is not real."""
    return ops.where(real[:, :, None], inputs, value)


def _masked_softmax(scores, visible):
    """Softmax over the last axis of what is visible; zeros where nothing is."""
    # In half precision many small weights would not add up to one.
    exact = ops.cast(scores, keras.backend.result_type(scores.dtype, "float32"))
    weights = ops.softmax(ops.where(visible, exact, -1e9), axis=-1)
    return ops.cast(ops.where(visible, weights, 0.0), scores.dtype)
