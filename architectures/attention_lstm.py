"""An LSTM that looks at a memory before each step: soft attention.

Xu et al., "Show, Attend and Tell: Neural Image Caption Generation with Visual Attention", 2015,
sections 3.1.2 and 4.2, whose score is that of Bahdanau, Cho & Bengio 2015. With a_i the vectors of
the memory, h the state of the LSTM and x_t its input,

    e_ti = v . tanh(W_a a_i + W_h h_{t-1} + b),  alpha_t = softmax_i(e_ti),
    z_t = beta_t sum_i alpha_ti a_i,             beta_t = sigmoid(f_beta(h_{t-1})),
    h_t = LSTM([x_t; z_t], h_{t-1})

where the first states are f_init of the mean of the memory, a linear map and a tanh for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

from architectures.checks import check_counts

_register = keras.saving.register_keras_serializable(package="architectures")


@_register
class AttentionLSTM(layers.Layer):
    """Reads a sequence [batch, T, features] while attending to a memory [batch, S, width].

    Called with `return_attention_scores=True` it also returns the weights alpha, [batch, T, S].

    Args:
        units: Size of h.
        attention_units: Size of the vector v.
    """

    def __init__(self, units: int, attention_units: int, **options: Any) -> None:
        super().__init__(**options)
        check_counts("AttentionLSTM", units=[units], attention_units=[attention_units])
        self.units, self.attention_units = units, attention_units

        def dense(name: str, activation: str | None) -> layers.Layer:
            size = attention_units if name == "keys" else units
            return layers.Dense(size, activation, name=name, dtype=self.dtype_policy)

        self.first_hidden = dense("first_hidden", "tanh")
        self.first_cell = dense("first_cell", "tanh")
        self.keys = dense("keys", None)
        self.step = _Step(units, attention_units, name="step", dtype=self.dtype_policy)
        self.steps = layers.RNN(
            self.step, return_sequences=True, name="steps", dtype=self.dtype_policy
        )

    def build(self, x_shape: Any, memory_shape: Any) -> None:
        batch, places, width = memory_shape
        for part in (self.first_hidden, self.first_cell, self.keys):
            part.build((batch, width))
        self.step.build_for(x_shape[-1], width, places)
        self.steps.built = True
        self.built = True

    def call(self, x: Any, memory: Any, return_attention_scores: bool = False) -> Any:
        """Returns [h_t; z_t] of each step, [batch, T, units + width]."""
        found = self.steps(x, initial_state=self.first(memory))
        size = self.units + memory.shape[-1]
        output, weights = found[..., :size], found[..., size:]
        return (output, weights) if return_attention_scores else output

    def first(self, memory: Any) -> list[Any]:
        """Returns the states before the first step: h, the LSTM's cell, the memory and its keys."""
        mean = ops.mean(memory, axis=1)
        return [self.first_hidden(mean), self.first_cell(mean), memory, self.keys(memory)]

    def next(self, x: Any, states: Any) -> tuple[Any, list[Any]]:
        """Returns [h_t; z_t], [batch, units + width], and the states, for x_t [batch, features]."""
        found, (hidden, cell, *_) = self.step(x, states)
        return found[..., : self.units + states[2].shape[-1]], [hidden, cell, *states[2:]]

    def compute_output_shape(self, x_shape: Any, memory_shape: Any) -> Any:
        return (*x_shape[:-1], self.units + memory_shape[-1])

    def get_config(self) -> Mapping[str, Any]:
        own = {"units": self.units, "attention_units": self.attention_units}
        return {**super().get_config(), **own}


class _Step(layers.Layer):
    """A recurrent cell whose states are h, the LSTM's cell, and the memory and its keys, unchanged.

    Its output is [h_t; z_t; alpha_t].
    """

    def __init__(self, units: int, attention_units: int, **options: Any) -> None:
        super().__init__(**options)
        self.state_size = [units, units]  # Those that change.
        self.query = layers.Dense(
            attention_units, use_bias=False, name="query", dtype=self.dtype_policy
        )
        self.gate = layers.Dense(1, "sigmoid", name="gate", dtype=self.dtype_policy)
        self.lstm = layers.LSTMCell(
            units, unit_forget_bias=True, name="lstm", dtype=self.dtype_policy
        )

    def build_for(self, features: int, width: int, places: int) -> None:
        """Builds the cell for inputs of these features, and a memory of this shape."""
        units, _ = self.state_size
        self.query.build((None, units))
        self.gate.build((None, units))
        self.lstm.build((None, features + width))
        self.score = self.add_weight(
            (self.query.units, 1), initializer="glorot_uniform", name="score"
        )
        self.output_size = units + width + places
        self.built = True

    def call(self, x: Any, states: Any) -> tuple[Any, list[Any]]:
        hidden, cell, memory, keys = states
        seen = ops.tanh(keys + self.query(hidden)[:, None])
        # In half precision many small weights would not sum to one.
        scores = ops.cast(ops.matmul(seen, self.score)[..., 0], "float32")
        weights = ops.cast(ops.softmax(scores, axis=-1), memory.dtype)
        context = self.gate(hidden) * ops.einsum("bs,bsw->bw", weights, memory)
        hidden, (_, cell) = self.lstm(ops.concatenate([x, context], axis=-1), [hidden, cell])
        found = ops.concatenate([hidden, context, weights], axis=-1)
        return found, [hidden, cell, memory, keys]
