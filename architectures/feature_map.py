"""The feature map of an image as a sequence of vectors, which a decoder attends to.

Xu et al., "Show, Attend and Tell", 2015, section 3.1.1: the features of a convolutional layer, one
vector for each place of the image, are taken before any pooling over places. `convnet.py` and
`resnet.py` make them here, without their heads; their layers keep the names they have there.

Beyond the paper: each vector is projected to the decoder's width, and has a learned embedding of
its place added, since the features of few convolutions do not tell where in the image they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import keras_hub
from keras import layers

from architectures.checks import check_choice, check_counts, check_image_shape
from architectures.convnet import convnet
from architectures.resnet import IMAGENET_BLOCKS, resnet
from architectures.transformer_layer import by_name

ENCODERS = ("convnet", *(f"resnet{depth}" for depth in IMAGENET_BLOCKS))


def image_encoder(
    builder: str,
    encoder: str,
    input_shape: Sequence[int],
    *,
    filters: Sequence[int],
    convolutions: int,
    width: int,
) -> keras.Model:
    """Builds the encoder of a captioner.

    Args:
        builder: Name of the captioner, for messages.
        encoder: "convnet", with `filters` and `convolutions`, or a residual network, as "resnet18".
        input_shape: (height, width, channels) of one image.
        filters: Filters of the convolutions of each stage of a convnet; each halves the image.
        convolutions: Convolutions of each stage of a convnet.
        width: Features of each place.

    Returns:
        A model from images, float32 [batch, height, width, channels], to vectors, [batch, places,
        width], row by row.

    Raises:
        ValueError: A hyperparameter is out of range, or the image is too small for the stages.
    """
    check_choice(builder, "encoder", encoder, ENCODERS)
    check_image_shape(builder, input_shape)
    check_counts(builder, width=[width])
    if encoder == "convnet":
        whole = convnet(
            classes=1,
            input_shape=input_shape,
            filters=filters,
            convolutions=convolutions,
            stage_dropout=0.0,
            units=(),
        )
        last = whole.get_layer(f"pool{len(filters)}").output
    else:
        depth = int(encoder.removeprefix("resnet"))
        whole = resnet(depth, classes=1, input_shape=input_shape)
        last = whole.get_layer("average_pool").input
    height, across, channels = last.shape[1:]
    parts = by_name(
        [
            layers.Reshape((height * across, channels), name="places"),
            layers.Dense(width, kernel_initializer="glorot_uniform", name="place_projection"),
            keras_hub.layers.PositionEmbedding(
                height * across,
                initializer=keras.initializers.RandomNormal(stddev=0.02),
                name="place_positions",
            ),
            layers.Add(name="place_sum"),
        ]
    )
    x = parts["place_projection"](parts["places"](last))
    x = parts["place_sum"]([x, parts["place_positions"](x)])
    return keras.Model(whole.input, x, name="image_encoder")


def encode(model: keras.Model, images: Any) -> Any:
    """Returns the vectors of images, [batch, places, width], as a captioner computes them."""
    return keras.Model(model.input["images"], model.get_layer("place_sum").output)(
        images, training=False
    )


def grid(model: keras.Model) -> tuple[int, int]:
    """Returns (rows, columns) of the places of a captioner's feature map."""
    rows, columns = model.get_layer("places").input.shape[1:3]
    return int(rows), int(columns)
