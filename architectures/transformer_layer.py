"""The Transformer layer, and functions that all stacks of it use.

Vaswani et al., "Attention Is All You Need", 2017, figure 1 and section 3. Normalization is applied
after each residual sum, as published, or before each sub-layer, as in GPT-2 (Radford et al. 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
from keras import layers, ops

from architectures.attention import Attention, MatrixInitializer
from architectures.checks import check_choice, check_counts, check_rates


def _gelu_tanh(x: Any) -> Any:
    return keras.activations.gelu(x, approximate=True)


_ACTIVATIONS = {"relu": keras.activations.relu, "gelu_tanh": _gelu_tanh}


@keras.saving.register_keras_serializable(package="architectures")
class TransformerLayer(layers.Layer):
    """Self-attention, optional cross-attention, and a feed-forward network.

    Each of these sub-layers has a residual connection and a normalization, after the sum as
    published, LayerNorm(x + Sublayer(x)), or before the sub-layer, x + Sublayer(LayerNorm(x)).

    Args:
        width: Features of each position (d_model), a multiple of `heads`.
        heads: Number of attention heads.
        feed_forward: Features between the two linear maps of the feed-forward network (d_ff).
        causal: Whether positions attend only to themselves and earlier ones.
        cross_attention: Whether the layer also attends to a memory.
        norm: Position of the normalization, "post" or "pre".
        activation: Activation of the feed-forward network: "relu", or "gelu_tanh", the tanh
            approximation of GELU.
        dropout: Dropout rate of the outputs of sub-layers.
        attention_dropout: Dropout rate of the attention weights.
        epsilon: Epsilon of the normalizations.
        kernel_initializer: Initializer of kernels.
        residual_initializer: Initializer of the output kernels of sub-layers; by default the same.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        feed_forward: int,
        *,
        causal: bool = False,
        cross_attention: bool = False,
        norm: str = "post",
        activation: str = "relu",
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        epsilon: float = 1e-6,
        kernel_initializer: Any = "glorot_uniform",
        residual_initializer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_choice("TransformerLayer", "norm", norm, ("post", "pre"))
        check_choice("TransformerLayer", "activation", activation, tuple(_ACTIVATIONS))
        first = keras.initializers.get(kernel_initializer)
        last = keras.initializers.get(residual_initializer or kernel_initializer)
        self.causal = causal
        self.norm = norm
        self._config = {
            "width": width,
            "heads": heads,
            "feed_forward": feed_forward,
            "causal": causal,
            "cross_attention": cross_attention,
            "norm": norm,
            "activation": activation,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "epsilon": epsilon,
            "kernel_initializer": keras.initializers.serialize(first),
            "residual_initializer": keras.initializers.serialize(last),
        }

        def named(name: str) -> dict[str, Any]:
            return {"name": name, "dtype": self.dtype_policy}

        def attention(name: str) -> Attention:
            return Attention(
                heads,
                width // heads,
                dropout=attention_dropout,
                kernel_initializer=MatrixInitializer(first, inputs=1),
                output_initializer=MatrixInitializer(last, inputs=2),
                **named(name),
            )

        def normalization(name: str) -> layers.Layer:
            return layers.LayerNormalization(epsilon=epsilon, **named(name))

        self.self_attention = attention("self_attention")
        self.self_attention_norm = normalization("self_attention_norm")
        self.cross_attention: Any = None
        if cross_attention:
            self.cross_attention = attention("cross_attention")
            self.cross_attention_norm = normalization("cross_attention_norm")
        self.inner = layers.Dense(
            feed_forward,
            _ACTIVATIONS[activation],
            kernel_initializer=first.clone(),
            **named("feed_forward_inner"),
        )
        self.outer = layers.Dense(
            width, kernel_initializer=last.clone(), **named("feed_forward_outer")
        )
        self.feed_forward_norm = normalization("feed_forward_norm")
        self.dropout = layers.Dropout(dropout, **named("dropout"))

    def build(self, x_shape: Any, memory_shape: Any = None) -> None:
        self.self_attention.build(x_shape, x_shape)
        if self.cross_attention:
            self.cross_attention.build(x_shape, memory_shape)
            self.cross_attention_norm.build(x_shape)
        for part in (self.self_attention_norm, self.inner, self.feed_forward_norm):
            part.build(x_shape)
        self.outer.build(self.inner.compute_output_shape(x_shape))
        self.built = True

    def call(
        self,
        x: Any,
        memory: Any = None,
        padding_mask: Any = None,
        memory_padding_mask: Any = None,
        self_cache: Any = None,
        cross_cache: Any = None,
        index: Any = 0,
        return_attention_scores: bool = False,
    ) -> Any:
        """Maps [batch, T, width] to the same shape.

        Args:
            x: The positions; with `self_cache`, those from `index` on.
            memory: [batch, S, width], the input of cross-attention.
            padding_mask: [batch, T], 0 where `x` is padding.
            memory_padding_mask: [batch, S], 0 where the memory is padding.
            self_cache: Keys and values of all positions; those of `x` are added.
            cross_cache: Keys and values of the memory, instead of the memory.
            index: Position of the first entry of `x`.
            return_attention_scores: Whether to return the attention weights as well.

        Returns:
            The positions; with `return_attention_scores` also a dict of weights, each float
            [batch, heads, T, T or S]; otherwise, with `self_cache`, also the updated cache.
        """
        scores = return_attention_scores
        mask = self._mask(x, padding_mask, self_cache, index)
        start = None if self_cache is None else index
        y = self._enter(x, self.self_attention_norm)
        y, kept = self.self_attention.attend(
            y, y, mask, cache=self_cache, index=start, scores=scores
        )
        x = self._leave(x, y, self.self_attention_norm)
        weights = {"self_attention": kept}

        if self.cross_attention:
            mask = None if memory_padding_mask is None else _as_mask(memory_padding_mask)
            y = self._enter(x, self.cross_attention_norm)
            # With cached keys and values, the memory is not read.
            y, weights["cross_attention"] = self.cross_attention.attend(
                y, y if memory is None else memory, mask, cache=cross_cache, scores=scores
            )
            x = self._leave(x, y, self.cross_attention_norm)

        y = self._enter(x, self.feed_forward_norm)
        x = self._leave(x, self.outer(self.inner(y)), self.feed_forward_norm)
        if scores:
            return x, weights
        return x if self_cache is None else (x, kept)

    def _enter(self, x: Any, norm: layers.Layer) -> Any:
        return norm(x) if self.norm == "pre" else x

    def _leave(self, x: Any, y: Any, norm: layers.Layer) -> Any:
        x = x + self.dropout(y)
        return x if self.norm == "pre" else norm(x)

    def _mask(self, x: Any, padding_mask: Any, cache: Any, index: Any) -> Any:
        """Returns the keys each query may attend to, bool [batch or 1, T or 1, S]; None for all."""
        mask = None if padding_mask is None else _as_mask(padding_mask)
        if not self.causal:
            return mask
        queries = ops.shape(x)[1]
        keys = queries if cache is None else ops.shape(cache[0])[2]
        positions = ops.arange(queries, dtype="int32") + index
        causal = positions[None, :, None] >= ops.arange(keys, dtype="int32")
        return causal if mask is None else ops.logical_and(mask, causal)

    def compute_output_shape(self, x_shape: Any, memory_shape: Any = None) -> Any:
        return x_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._config}


def _as_mask(padding_mask: Any) -> Any:
    return ops.cast(padding_mask, "bool")[:, None, :]


def by_name(parts: Iterable[layers.Layer]) -> dict[str, layers.Layer]:
    """Returns layers by name."""
    return {part.name: part for part in parts}


def stack(parts: Mapping[str, layers.Layer], name: str) -> list[layers.Layer]:
    """Returns the layers `name_1`, `name_2` and so on."""
    return [parts[f"{name}_{i}"] for i in range(1, len(parts) + 1) if f"{name}_{i}" in parts]


def sampler_step(read: Callable, logits: Callable) -> Callable:
    """Returns the `next` function that keras_hub's samplers call for each token.

    Args:
        read: A function from tokens [batch, T], the cache and the position of the first token to
            features [batch, T, width] and the updated cache.
        logits: A function from features to logits [batch, T, vocabulary].

    Returns:
        A function from (prompt, cache, index) to (logits, features, cache). It reads the prompt's
        token at index - 1; the logits, [batch, vocabulary], are those of the token at index.
    """

    def step(prompt: Any, cache: Any, index: Any) -> tuple[Any, Any, Any]:
        tokens = ops.slice(prompt, [0, index - 1], [ops.shape(prompt)[0], 1])
        features, cache = read(tokens, cache, index - 1)
        return logits(features)[:, 0], features[:, 0], cache

    return step


def check_size(
    builder: str, sizes: Mapping[str, Mapping[str, Any]], size: str, **changed: Any
) -> dict[str, Any]:
    """Returns the hyperparameters of a published size, overridden by those of `changed`.

    Values of None in `changed` are ignored.

    Raises:
        ValueError: The size is unknown, or a hyperparameter is out of range.
    """
    check_choice(builder, "size", size, tuple(sizes))
    config = {**sizes[size], **{key: x for key, x in changed.items() if x is not None}}
    check_rates(builder, dropout=config["dropout"])
    check_counts(builder, **{key: [x] for key, x in config.items() if key != "dropout"})
    width, heads = config["width"], config["heads"]
    if width % heads:
        raise ValueError(f"{builder}: width must be a multiple of heads, {heads}, not {width}")
    return {"feed_forward": 4 * width, **config}
