"""Image captioning with an LSTM that attends to the image: a network from one to many.

Xu et al., "Show, Attend and Tell: Neural Image Caption Generation with Visual Attention", 2015,
with soft attention; `attention_lstm.py` has its equations. As published: the feature map of a
convolutional network, the first states from its mean, the gate beta, and the deep output

    logits_t = L_o tanh(E y_{t-1} + L [h_t; z_t])

with dropout, the tanh of it being in the authors' code. Different: the encoder is trained with the
decoder, and is small unless a residual network is chosen; see `feature_map.py`. Left out: hard
attention, and the doubly stochastic penalty, which asks that all places are looked at.

Decoding is that of `seq2seq.py`: `encode` and `next_token`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import layers

from architectures import feature_map
from architectures.attention_lstm import AttentionLSTM
from architectures.checks import check_counts, check_rates
from architectures.transformer_layer import by_name, sampler_step


def lstm_captioner(
    *,
    vocabulary: int,
    input_shape: Sequence[int],
    encoder: str = "convnet",
    filters: Sequence[int] = (32, 64, 128),
    convolutions: int = 1,
    width: int = 128,
    embedding: int = 128,
    units: int = 256,
    dropout: float = 0.3,
) -> keras.Model:
    """Builds a convolutional encoder with an LSTM decoder.

    Args:
        vocabulary: Number of tokens.
        input_shape: (height, width, channels) of one image.
        encoder: "convnet", or a residual network: "resnet18", "resnet34", "resnet50", …
        filters: Filters of each stage of the convnet; each stage halves height and width.
        convolutions: Convolutions of each stage of the convnet.
        width: Features of each place of the image.
        embedding: Size of a token's vector.
        units: Size of the LSTM's state and of the attention's vectors.
        dropout: Dropout rate of the tokens' vectors and of the last features.

    Returns:
        A model from a dict of `images`, float32 [batch, height, width, channels], and `target_ids`
        and `target_padding_mask`, int32 [batch, target], to logits, float32 [batch, target,
        vocabulary], of the next token at each position. Padding must be at the end.

    Raises:
        ValueError: A hyperparameter is out of range, or the image is too small for the stages.
    """
    check_counts("lstm_captioner", vocabulary=[vocabulary], embedding=[embedding], units=[units])
    check_rates("lstm_captioner", dropout=dropout)
    image_encoder = feature_map.image_encoder(
        "lstm_captioner",
        encoder,
        input_shape,
        filters=filters,
        convolutions=convolutions,
        width=width,
    )
    parts = by_name(
        [
            layers.Embedding(
                vocabulary, embedding, embeddings_initializer="uniform", name="target_embedding"
            ),
            layers.Dropout(dropout, name="dropout"),
            AttentionLSTM(units, units, name="attention_lstm"),
            layers.Dense(embedding, kernel_initializer="glorot_uniform", name="output_projection"),
            layers.Add(name="output_sum"),
            layers.Activation("tanh", name="output_tanh"),
            layers.Dense(
                vocabulary, kernel_initializer="glorot_uniform", dtype="float32", name="logits"
            ),
        ]
    )
    inputs = {"images": image_encoder.input} | {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("target_ids", "target_padding_mask")
    }
    x = parts["dropout"](parts["target_embedding"](inputs["target_ids"]))
    # Padding is at the end, so the decoder needs no mask.
    found = parts["attention_lstm"](x, image_encoder.output)
    logits = parts["logits"](_last_features(parts, x, found))
    return keras.Model(inputs, logits, name="lstm_captioner")


def encode(model: keras.Model, images: Any, length: int) -> dict[str, Any]:
    """Encodes images.

    Args:
        model: A model of `lstm_captioner`.
        images: float32 [batch, height, width, channels].
        length: Maximum number of tokens of a caption; unused, since states have a fixed size.

    Returns:
        The first cache of `next_token`: the states of the LSTM, the image's places and their keys.
    """
    del length
    layer = model.get_layer("attention_lstm")
    hidden, cell, memory, keys = layer.first(feature_map.encode(model, images))
    return {"states": [hidden, cell], "memory": memory, "keys": keys}


def next_token(model: keras.Model) -> Callable:
    """Returns the `next` function of keras_hub's samplers; `encode` returns its first cache.

    See `sampler_step` for its arguments.

    Args:
        model: A model of `lstm_captioner`.
    """
    parts = by_name(model.layers)

    def read(tokens: Any, cache: Any, position: Any) -> tuple[Any, dict[str, Any]]:
        del position  # The states imply it.
        x = parts["target_embedding"](tokens)
        states = [*cache["states"], cache["memory"], cache["keys"]]
        found, (hidden, cell, *_) = parts["attention_lstm"].next(x[:, 0], states)
        features = _last_features(parts, x, found[:, None])
        return features, {**cache, "states": [hidden, cell]}

    return sampler_step(read, parts["logits"])


def _last_features(parts: Mapping[str, Any], x: Any, found: Any) -> Any:
    """Returns what the logits are a linear map of, from tokens and [h_t; z_t]."""
    x = parts["output_sum"]([x, parts["output_projection"](found)])
    return parts["dropout"](parts["output_tanh"](x))
