"""Multi-head attention, and models that return the attention weights.

Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser & Polosukhin, "Attention Is All You Need",
2017. Attention returns for each query the mean of the values, weighted by the similarity of their
keys to the query: softmax(QK^T / sqrt(d_k)) V. Several heads do so in parallel, each with its own
projections, and an output projection combines them.

keras_hub's `CachedMultiHeadAttention` computes this and returns the weights. Added here: the
published initializers; a cache of past keys and values, or of a memory, to which a new position is
added in place, where keras_hub copies all of it (by an XLA op in a TensorFlow graph, which model
servers lack); and `attention_maps`, which returns the weights of a whole model.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import keras_hub
from keras import layers, ops

_register = keras.saving.register_keras_serializable(package="architectures")


@_register
class MatrixInitializer(keras.initializers.Initializer):
    """Initializes an attention kernel as one matrix, as in the papers, and splits it into heads.

    Keras stores kernels as [width, heads, size] or [heads, size, width], and its initializers treat
    the first axis as the receptive field of a convolution: with a width of 512, Glorot's limit
    would be six times too small for queries, keys and values.

    Args:
        initializer: Initializer of the matrix.
        inputs: Number of leading axes, of the three, that are inputs.
    """

    def __init__(self, initializer: Any, inputs: int) -> None:
        self.initializer = keras.initializers.get(initializer)
        self.inputs = inputs

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        matrix = (math.prod(shape[: self.inputs]), math.prod(shape[self.inputs :]))
        return ops.reshape(self.initializer.clone()(matrix, dtype=dtype), shape)

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.initializer)
        return {"initializer": initializer, "inputs": self.inputs}


@_register
class Attention(keras_hub.layers.CachedMultiHeadAttention):
    """Multi-head attention of queries [batch, T, width] to a memory [batch, S, width].

    The cache is the keys and the values, each float [batch, heads, S, size]. `output_initializer`
    is the initializer of the output projection, `kernel_initializer` of the others.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        *,
        output_initializer: Any = "glorot_uniform",
        **options: Any,
    ) -> None:
        super().__init__(num_heads, key_dim, **options)
        self.output_initializer = keras.initializers.get(output_initializer)

    def keys_and_values(self, memory: Any) -> tuple[Any, Any]:
        """Returns the cache of a memory that does not change."""
        keys, values = self.key_dense(memory), self.value_dense(memory)
        return ops.swapaxes(keys, 1, 2), ops.swapaxes(values, 1, 2)

    def empty_cache(self, batch: Any, length: Any) -> tuple[Any, Any]:
        """Returns a cache of zeros for `length` positions."""
        shape = (batch, self.num_heads, length, self.key_dim)
        return ops.zeros(shape, self.compute_dtype), ops.zeros(shape, self.compute_dtype)

    def attend(
        self,
        query: Any,
        memory: Any,
        mask: Any,
        *,
        cache: Any = None,
        index: Any = None,
        scores: bool = False,
    ) -> tuple[Any, Any]:
        """Returns the output and, with `scores`, the attention weights, otherwise the cache.

        With a cache alone, its keys and values stand for the memory; with an index, those of the
        memory are written into it from that position on.
        """
        if cache is None:
            output = self(query, memory, attention_mask=mask, return_attention_scores=scores)
            return output if scores else (output, None)
        if index is not None:
            added = zip(cache, self.keys_and_values(memory), strict=True)
            cache = tuple(_with_positions(past, new, index) for past, new in added)
        keys, values = cache
        weights = self._weights(self.query_dense(query), keys, mask)
        output = self.output_dense(ops.einsum("bhts,bhsd->bthd", weights, values))
        return output, weights if scores else cache

    def _weights(self, query: Any, keys: Any, mask: Any) -> Any:
        """Returns attention weights, float [batch, heads, T, S].

        Heads come before positions in the cache, so that the products need no transposed copy of
        it, which would cost more than the products.
        """
        query = query * ops.cast(self.key_dim**-0.5, query.dtype)
        similarity = ops.einsum("bthd,bhsd->bhts", query, keys)
        if mask is not None:
            never = -3e4 if similarity.dtype == "float16" else -1e9
            similarity = ops.where(mask[:, None], similarity, ops.cast(never, similarity.dtype))
        return ops.softmax(similarity)

    def _make_output_dense(
        self, query_shape: Any, common_kwargs: Mapping[str, Any], name: str | None = None
    ) -> layers.Layer:
        changed = {**common_kwargs, "kernel_initializer": self.output_initializer}
        return super()._make_output_dense(query_shape, changed, name)

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.output_initializer)
        return {**super().get_config(), "output_initializer": initializer}


def _with_positions(past: Any, new: Any, index: Any) -> Any:
    """Returns a part of a cache with other values from position `index` on.

    Args:
        past: [batch, heads, S, size].
        new: [batch, heads, T, size].
        index: int32 [], at most S - T.
    """
    new = ops.cast(new, past.dtype)
    batch, heads, length, size = ops.shape(past)
    if new.shape[2] == 1:  # TensorFlow writes it without copying the others.
        row = ops.arange(batch * heads, dtype="int32")
        place = ops.stack((row // heads, row % heads, ops.zeros_like(row) + index), axis=1)
        return ops.scatter_update(past, place, ops.reshape(new, (-1, size)))
    place = ops.arange(length, dtype="int32") - index
    known = ops.logical_and(place >= 0, place < ops.shape(new)[2])
    new = ops.take(new, ops.clip(place, 0, ops.shape(new)[2] - 1), axis=2)
    return ops.where(known[:, None], new, past)


@_register
class _Watched(layers.Wrapper):
    """A layer that also returns its attention weights, and ends the propagation of Keras' mask."""

    supports_masking = True

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None

    def call(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        x, weights = self.layer(*args, **kwargs, return_attention_scores=True)
        return x, keras.tree.map_structure(lambda weight: ops.cast(weight, "float32"), weights)


def attention_maps(model: keras.Model) -> keras.Model:
    """Returns a model that computes the attention weights of each head of `model`.

    Args:
        model: A Functional model with layers that can return their attention weights:
            `TransformerLayer`s, keras_hub's `TransformerEncoder`s as in its BERT backbones, or
            the attention layers of `layers.py`, whose single head has no axis.

    Returns:
        A model over the same weights, from the same dict of inputs to a dict of attention weights,
        each float32 [batch, heads, queries, keys]; rows sum to one. The names are those of the
        layers, followed by the kind of attention where a layer has several, as in
        `decoder_layer_1_cross_attention`, and by a number from 0 where a layer is applied
        repeatedly, as in ALBERT.

    Raises:
        ValueError: The model has no such layer.
    """
    seen: dict[str, list[Any]] = {}

    def watch(layer: layers.Layer) -> layers.Layer:
        known = "return_attention_scores" in inspect.signature(layer.call).parameters
        return _Watched(layer, name=layer.name) if known else layer

    def call(layer: layers.Layer, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(layer, _Watched):
            return layer(*args, **kwargs)
        x, weights = layer(*args, **kwargs)
        if not isinstance(weights, dict):
            weights = {"": weights}
        for kind, weight in weights.items():
            seen.setdefault(f"{layer.name}_{kind}".rstrip("_"), []).append(weight)
        return x

    # Without the optimizer, which a clone would have too.
    plain = keras.Model(model.input, model.output, name=model.name)
    copy = keras.models.clone_model(plain, clone_function=watch, call_function=call)
    if not seen:
        raise ValueError(f"attention_maps: no layer of {model.name} returns attention weights")
    maps = {
        name if len(weights) == 1 else f"{name}_{index}": weight
        for name, weights in seen.items()
        for index, weight in enumerate(weights)
    }
    # A masked-LM head does not influence the attention weights.
    inputs = {name: x for name, x in copy.input.items() if name != "mask_positions"}
    return keras.Model(inputs, maps, name=f"{model.name}_attention_maps")
