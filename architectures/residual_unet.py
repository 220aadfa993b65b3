"""U-Net whose contracting path is a residual network, as its pre-trained weights need it.

The layout that is widely used, as in Yakubovskiy's "Segmentation Models", 2019: the contracting
path of the U-Net (Ronneberger, Fischer & Brox 2015) is the body of a ResNet (He, Zhang, Ren & Sun
2015), whose stem and first three stages are the skip connections. Each of five levels of the
expanding path doubles the size by nearest-neighbor interpolation, concatenates the feature map of
that size, and has two 3x3 convolutions with batch normalization; the last has no feature map to
concatenate. A 3x3 convolution makes the logits.

Layers of the contracting path have the names that they have in `resnet.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import keras
from keras import layers

from architectures.checks import check_choice, check_counts, check_image_shape
from architectures.resnet import resnet

_LEVELS = 5


def residual_unet(
    depth: int = 34,
    *,
    classes: int,
    input_shape: Sequence[int],
    filters: Sequence[int] = (256, 128, 64, 32, 16),
    version: str = "1.5",
    width: int = 64,
) -> keras.Model:
    """Builds a U-Net with a residual encoder.

    Args:
        depth: Number of layers of the residual network: 18, 34, 50, 101 or 152.
        classes: Number of classes, background included.
        input_shape: (height, width, channels) of one image; height and width are multiples of 32.
        filters: Channels of the five levels of the expanding path, from the bottom up.
        version: "1" or "1.5", that of the residual network.
        width: Channels of the residual network's stem.

    Returns:
        A model from images, float32 [batch, height, width, channels], to logits, float32
        [batch, height, width, classes].

    Raises:
        ValueError: A hyperparameter is out of range, or the size does not divide evenly; the
            message names the nearest sizes that do.
    """
    check_image_shape("residual_unet", input_shape)
    check_counts("residual_unet", classes=[classes], input_shape=input_shape, filters=filters)
    check_choice("residual_unet", "version", version, ("1", "1.5"))
    if len(filters) != _LEVELS:
        raise ValueError(
            f"residual_unet: filters must have {_LEVELS} entries, one for each level, "
            f"not {len(filters)}"
        )
    for size in input_shape[:2]:
        _check_size(size)

    encoder = resnet(depth, classes=classes, input_shape=input_shape, version=version, width=width)
    *skips, x = _feature_maps(encoder)
    for level, width in enumerate(filters, 1):
        name = f"up{level}"
        x = layers.UpSampling2D(2, name=f"{name}_upsample")(x)
        if skips:
            x = layers.Concatenate(name=f"{name}_concat")([x, skips.pop()])
        for index in (1, 2):
            x = _convolution(x, width, f"{name}_conv{index}")
    logits = layers.Conv2D(
        classes, 3, padding="same", kernel_initializer="he_normal", dtype="float32", name="logits"
    )(x)
    return keras.Model(encoder.input, logits, name=f"resnet{depth}_unet")


def _feature_maps(encoder: keras.Model) -> list[keras.KerasTensor]:
    """Returns the outputs of a residual network's stem and of its four stages."""
    last = {"conv1": "conv1_relu"}
    for layer in encoder.layers:
        if end := re.fullmatch(r"(conv\d+)_\d+_relu", layer.name):
            last[end[1]] = layer.name
    return [encoder.get_layer(name).output for name in last.values()]


def _convolution(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    x = layers.Conv2D(
        width, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    # As in the encoder; Keras' momentum of 0.99 is too slow for the few steps of small data sets.
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _check_size(size: int) -> None:
    step = 2**_LEVELS
    if size % step:
        near = [one for one in (size // step * step, (size // step + 1) * step) if one]
        raise ValueError(
            f"residual_unet: images of side {size} do not divide evenly; the nearest that do are "
            f"{' and '.join(map(str, near))}"
        )
