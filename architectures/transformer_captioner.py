"""Image captioning with a Transformer decoder that attends to the image.

The decoder of Vaswani et al., "Attention Is All You Need", 2017, as in `transformer.py`, whose
source is the feature map of a convolutional network (`feature_map.py`), as in Sharma et al.,
"Conceptual Captions", 2018, section 5. Embeddings are shared with the output; normalization comes
before each sub-layer by default, which trains without a long warmup (Xiong et al. 2020). Different
from Sharma et al.: no Transformer encoder over the feature map.

Decoding is that of `transformer.py`: `encode` and `next_token`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from architectures import feature_map
from architectures.checks import check_choice, check_counts
from architectures.transformer import embed, last_norm, layers_of, logits_of, next_token
from architectures.transformer_layer import by_name, check_size, stack

__all__ = ["encode", "next_token", "transformer_captioner"]

_SIZES: dict[str, dict[str, Any]] = {
    "small": {"layers": 2, "heads": 4, "width": 128, "feed_forward": 512, "dropout": 0.1}
}


def transformer_captioner(
    *,
    vocabulary: int,
    input_shape: Sequence[int],
    encoder: str = "convnet",
    filters: Sequence[int] = (32, 64, 128),
    convolutions: int = 1,
    norm: str = "pre",
    layers: int | None = None,
    heads: int | None = None,
    width: int | None = None,
    feed_forward: int | None = None,
    dropout: float | None = None,
) -> keras.Model:
    """Builds a convolutional encoder with a Transformer decoder.

    Args:
        vocabulary: Number of tokens.
        input_shape: (height, width, channels) of one image.
        encoder: "convnet", or a residual network: "resnet18", "resnet34", "resnet50", …
        filters: Filters of each stage of the convnet; each stage halves height and width.
        convolutions: Convolutions of each stage of the convnet.
        norm: Position of the normalization, "pre" or "post".
        layers: Number of layers of the decoder, 2.
        heads: Number of attention heads, 4.
        width: Features of each token and of each place of the image, a multiple of `heads`; 128.
        feed_forward: Inner features of the feed-forward networks, 512.
        dropout: Dropout rate, 0.1.

    Returns:
        A model from a dict of `images`, float32 [batch, height, width, channels], and `target_ids`
        and `target_padding_mask`, int32 [batch, target], to logits, float32 [batch, target,
        vocabulary], of the next token at each position.

    Raises:
        ValueError: A hyperparameter is out of range, or the image is too small for the stages.
    """
    check_counts("transformer_captioner", vocabulary=[vocabulary])
    check_choice("transformer_captioner", "norm", norm, ("post", "pre"))
    config = check_size(
        "transformer_captioner",
        _SIZES,
        "small",
        layers=layers,
        heads=heads,
        width=width,
        feed_forward=feed_forward,
        dropout=dropout,
    )
    image_encoder = feature_map.image_encoder(
        "transformer_captioner",
        encoder,
        input_shape,
        filters=filters,
        convolutions=convolutions,
        width=config["width"],
    )
    parts = layers_of({"target_embedding": vocabulary}, norm, sides=["decoder"], **config)
    inputs = {"images": image_encoder.input} | {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("target_ids", "target_padding_mask")
    }
    x = embed(parts, "target", inputs["target_ids"])
    for layer in stack(parts, "decoder_layer"):
        x = layer(x, image_encoder.output, padding_mask=inputs["target_padding_mask"])
    logits = logits_of(parts, last_norm(parts, "decoder", x))
    return keras.Model(inputs, logits, name="transformer_captioner")


def encode(model: keras.Model, images: Any, length: int) -> dict[str, Any]:
    """Encodes images.

    Args:
        model: A model of `transformer_captioner`.
        images: float32 [batch, height, width, channels].
        length: Maximum number of tokens of a caption, start and end included.

    Returns:
        The first cache of `next_token`: each layer's keys and values of the image, and room for
        those of the caption.
    """
    memory = feature_map.encode(model, images)
    decoder, batch = stack(by_name(model.layers), "decoder_layer"), ops.shape(images)[0]
    return {
        # All places of an image are real.
        "source_padding_mask": ops.ones((batch, memory.shape[1]), "int32"),
        "cross": [layer.cross_attention.keys_and_values(memory) for layer in decoder],
        "self": [layer.self_attention.empty_cache(batch, length) for layer in decoder],
    }
