"""Attention: every position of a sequence reads all others, or those of another sequence.

Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser & Polosukhin, "Attention Is All You Need",
2017. Attention looks queries up among keys and answers each with the mean of the values, weighted
by how well their keys fit: softmax(QK^T / sqrt(d_k)) V. Several heads do so side by side, each with
its own projections, and a last projection mixes their answers.

keras_hub's `CachedMultiHeadAttention` computes this, returns the weights and keeps past keys and
values. Added here: initialisers as published, the keys and values of a memory without a query, and
`attention_maps`, which shows the weights of a whole model.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import keras
import keras_hub
from keras import layers, ops

_register = keras.saving.register_keras_serializable(package="architectures")


@_register
class MatrixInitializer(keras.initializers.Initializer):
    """Draws an attention kernel as the matrix of the papers, then splits it into heads.

    Keras keeps kernels as [width, heads, size] or [heads, size, width] and takes the first axis for
    the pixels of a convolution: with a width of 512, Glorot's limit would come out six times too
    small for queries, keys and values.

    Args:
        initializer: For the matrix.
        inputs: How many of the three axes are inputs.
    """

    def __init__(self, initializer: Any, inputs: int) -> None:
        self.initializer = keras.initializers.get(initializer)
        self.inputs = inputs

    def __call__(self, shape, dtype=None):
        matrix = (math.prod(shape[: self.inputs]), math.prod(shape[self.inputs :]))
        return ops.reshape(self.initializer.clone()(matrix, dtype=dtype), shape)

    def get_config(self):
        initializer = keras.initializers.serialize(self.initializer)
        return {"initializer": initializer, "inputs": self.inputs}


@_register
class Attention(keras_hub.layers.CachedMultiHeadAttention):
    """Multi-head attention of queries [batch, T, width] to a memory [batch, S, width].

    Its cache holds keys and values, float [batch, 2, S, heads, size]. `output_initializer` is that
    of the last projection, `kernel_initializer` that of the others.
    """

    def __init__(self, num_heads, key_dim, *, output_initializer="glorot_uniform", **options):
        super().__init__(num_heads, key_dim, **options)
        self.output_initializer = keras.initializers.get(output_initializer)

    def keys_and_values(self, memory):
        """Returns the cache of a memory that will stay as it is."""
        return ops.stack((self.key_dense(memory), self.value_dense(memory)), axis=1)

    def empty_cache(self, batch, length):
        """Returns a cache in which no position is known yet."""
        shape = (batch, 2, length, self.num_heads, self.key_dim)
        return ops.zeros(shape, dtype=self.compute_dtype)

    def attend(self, query, memory, mask, *, cache=None, index=None, scores=False):
        """Returns the answer and, if wanted, the attention weights or else the updated cache."""
        if index is not None:
            cache = self._updated(cache, memory, index)
        answer = self(
            query, memory, attention_mask=mask, cache=cache, return_attention_scores=scores
        )
        return answer if scores or cache is not None else (answer, None)

    def _updated(self, cache, memory, index):
        """Returns the cache with keys and values of the memory from position `index` on.

        keras_hub's own update is an op of XLA in a TensorFlow graph, which model servers lack.
        """
        new = self.keys_and_values(memory)
        place = ops.arange(ops.shape(cache)[2], dtype="int32") - index
        known = ops.logical_and(place >= 0, place < ops.shape(new)[2])
        new = ops.take(new, ops.clip(place, 0, ops.shape(new)[2] - 1), axis=2)
        return ops.where(known[:, None, None], ops.cast(new, cache.dtype), cache)

    def _make_output_dense(self, query_shape, common_kwargs, name=None):
        changed = {**common_kwargs, "kernel_initializer": self.output_initializer}
        return super()._make_output_dense(query_shape, changed, name)

    def get_config(self):
        initializer = keras.initializers.serialize(self.output_initializer)
        return {**super().get_config(), "output_initializer": initializer}


@_register
class _Watched(layers.Wrapper):
    """A layer that returns its attention weights, too. It ends the mask that Keras hands on."""

    supports_masking = True

    def compute_mask(self, inputs, previous_mask):
        return None

    def call(self, *args, **kwargs):
        x, weights = self.layer(*args, **kwargs, return_attention_scores=True)
        return x, keras.tree.map_structure(lambda weight: ops.cast(weight, "float32"), weights)


def attention_maps(model: keras.Model) -> keras.Model:
    """Returns a model that shows where each head of `model` looks.

    Args:
        model: A Functional model with layers that can return their attention weights:
            `TransformerLayer`s, keras_hub's `TransformerEncoder`s as in its BERT backbones, or
            the attention of `layers.py`, whose single head has no axis.

    Returns:
        A model over the same weights, from the same dict of inputs to a dict of attention weights,
        each float32 [batch, heads, queries, keys]: a row for each position that looks, which sums
        to one, and a column for each that is seen. The names are those of the layers, with the
        kind where a layer has several, as `decoder_layer_1_cross_attention`, and counted from 0
        where a layer is applied repeatedly, as ALBERT's.

    Raises:
        ValueError: The model has no such layer.
    """
    seen: dict[str, list[Any]] = {}

    def watch(layer):
        known = "return_attention_scores" in inspect.signature(layer.call).parameters
        return _Watched(layer, name=layer.name) if known else layer

    def call(layer, *args, **kwargs):
        if not isinstance(layer, _Watched):
            return layer(*args, **kwargs)
        x, weights = layer(*args, **kwargs)
        if not isinstance(weights, dict):
            weights = {"": weights}
        for kind, weight in weights.items():
            seen.setdefault(f"{layer.name}_{kind}".rstrip("_"), []).append(weight)
        return x

    twin = keras.models.clone_model(model, clone_function=watch, call_function=call)
    if not seen:
        raise ValueError(f"attention_maps: no layer of {model.name} returns attention weights")
    maps = {
        name if len(weights) == 1 else f"{name}_{index}": weight
        for name, weights in seen.items()
        for index, weight in enumerate(weights)
    }
    # Where a masked-word head looks has no part in it.
    inputs = {name: x for name, x in twin.input.items() if name != "mask_positions"}
    return keras.Model(inputs, maps, name=f"{model.name}_attention_maps")
