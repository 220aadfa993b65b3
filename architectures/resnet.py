"""Residual networks, y = F(x) + x, and their plain counterparts without shortcuts.

- He, Zhang, Ren & Sun, "Deep Residual Learning for Image Recognition", 2015: ImageNet networks of
  18 to 152 layers (table 1) and CIFAR-10 networks of 6n + 2 layers (section 4.2).
- The same, "Identity Mappings in Deep Residual Networks", 2016: pre-activation, version 2.

As published: layout, widths, convolutions without bias, He initialization, batch normalization with
momentum 0.9 and epsilon 1e-5, symmetric padding. Version 1 strides in the first 1x1 convolution of
a bottleneck, as published; version 1.5, the default, in its 3x3 convolution, which is slower and
gains half a point of accuracy; both have the same parameters. Where the width changes, shortcuts
use option A (identity, zero-padded) or B (1x1 projection). `zero_gamma` is from Goyal et al. 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from architectures.checks import check_choice, check_counts, check_image_shape

# Blocks per stage; networks of 50 layers and more use bottlenecks.
IMAGENET_BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
_CIFAR = (20, 32, 44, 56, 110)


def resnet(
    depth: int = 50,
    *,
    classes: int,
    input_shape: Sequence[int],
    stem: str = "imagenet",
    version: str = "1.5",
    shortcut: str = "B",
    zero_gamma: bool = False,
    width: int | None = None,
) -> keras.Model:
    """Builds a residual network.

    Args:
        depth: Number of layers with weights: 18, 34, 50, 101 or 152; with the CIFAR stem 6n + 2.
        classes: Number of classes.
        input_shape: (height, width, channels) of one image.
        stem: "imagenet": 7x7 convolution and pooling, an eighth of the size before the second
            stage; "cifar": one 3x3 convolution, for small images.
        version: "1", "1.5" or "2", see above.
        shortcut: "A" or "B", see above, or "none" for the plain counterpart.
        zero_gamma: Whether the last scale of each block starts at 0, so that it starts as the
            identity.
        width: Channels of the stem; each stage after the first has twice as many as the one before.
            None: as published, 64, or with the CIFAR stem 16.

    Returns:
        A model from images, float32 [batch, height, width, channels], to logits, float32
        [batch, classes].

    Raises:
        ValueError: A hyperparameter is not one of those above.
    """
    check_image_shape("resnet", input_shape)
    check_counts("resnet", classes=[classes], input_shape=input_shape)
    check_choice("resnet", "stem", stem, ("imagenet", "cifar"))
    check_choice("resnet", "version", version, ("1", "1.5", "2"))
    check_choice("resnet", "shortcut", shortcut, ("A", "B", "none"))
    blocks = _blocks(depth, stem)
    if zero_gamma and (version == "2" or shortcut == "none"):
        raise ValueError(
            "resnet: zero_gamma needs version 1 or 1.5 with a shortcut: a block of version 2 ends "
            "in a convolution, and a plain block would output zeros"
        )
    bottleneck = stem == "imagenet" and depth >= 50
    if width is None:
        width = 64 if stem == "imagenet" else 16
    check_counts("resnet", width=[width])

    images = keras.Input(tuple(input_shape), name="images")
    if stem == "imagenet":
        x = _activation(_norm(_convolution(images, width, 7, 2, "conv1"), "conv1"), "conv1")
        x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
        x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    else:
        x = _activation(_norm(_convolution(images, width, 3, 1, "conv1"), "conv1"), "conv1")

    for stage, count in enumerate(blocks):
        for block in range(count):
            x = _block(
                x,
                width * 2**stage,
                stride=2 if stage and not block else 1,
                bottleneck=bottleneck,
                version=version,
                shortcut=shortcut,
                zero_gamma=zero_gamma,
                # Version 2: the stem's activation is also that of the first block.
                activated=not stage and not block,
                name=f"conv{stage + 2}_{block + 1}",
            )
    if version == "2":
        x = _activation(_norm(x, "last"), "last")
    x = layers.GlobalAveragePooling2D(name="average_pool")(x)
    logits = layers.Dense(
        classes,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        dtype="float32",
        name="logits",
    )(x)
    return keras.Model(
        images, logits, name=f"resnet{depth}" if shortcut != "none" else f"plain{depth}"
    )


def _block(
    x: keras.KerasTensor,
    width: int,
    *,
    stride: int,
    bottleneck: bool,
    version: str,
    shortcut: str,
    zero_gamma: bool,
    activated: bool,
    name: str,
) -> keras.KerasTensor:
    """Applies one residual block: two 3x3 convolutions, or a bottleneck of 1x1, 3x3 and 1x1."""
    out = 4 * width if bottleneck else width
    changes = stride != 1 or x.shape[-1] != out
    entry = x
    if version == "2" and not activated:
        entry = _activation(_norm(x, f"{name}_in"), f"{name}_in")
        # Where the size changes, both paths start from the activated features.
        x = entry if changes else x

    # (width, kernel, stride) of each convolution.
    if bottleneck:
        first, second = (stride, 1) if version == "1" else (1, stride)
        steps = [(width, 1, first), (width, 3, second), (out, 1, 1)]
    else:
        steps = [(width, 3, stride), (out, 3, 1)]

    y = entry
    for index, (filters, kernel, step) in enumerate(steps, 1):
        part, last = f"{name}_{index}", index == len(steps)
        y = _convolution(y, filters, kernel, step, part)
        if version != "2":
            y = _norm(y, part, zero_gamma=zero_gamma and last)
        elif not last:
            y = _norm(y, part)
        if not last:
            y = _activation(y, part)

    if shortcut != "none":
        if changes:
            x = _resized(x, out, stride, shortcut, version, name)
        y = layers.Add(name=f"{name}_add")([x, y])
    return y if version == "2" else _activation(y, name)


def _resized(
    x: keras.KerasTensor, out: int, stride: int, shortcut: str, version: str, name: str
) -> keras.KerasTensor:
    """Applies a shortcut that changes width or size: A has no parameters, B is a projection."""
    if shortcut == "A":
        missing = out - x.shape[-1]
        if stride != 1:
            x = layers.AveragePooling2D(1, strides=stride, name=f"{name}_shortcut_stride")(x)
        return _PadChannels(missing, name=f"{name}_shortcut_pad")(x)
    x = _convolution(x, out, 1, stride, f"{name}_shortcut")
    return x if version == "2" else _norm(x, f"{name}_shortcut")


@keras.saving.register_keras_serializable(package="architectures")
class _PadChannels(layers.Layer):
    """Appends channels of zeros."""

    def __init__(self, count: int, **options: Any) -> None:
        super().__init__(**options)
        self.count = count

    def call(self, inputs: Any) -> Any:
        return ops.pad(inputs, [(0, 0), (0, 0), (0, 0), (0, self.count)])

    def compute_output_shape(self, input_shape: Sequence[Any]) -> tuple[Any, ...]:
        return (*input_shape[:-1], input_shape[-1] + self.count)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "count": self.count}


def _convolution(
    x: keras.KerasTensor, filters: int, kernel: int, stride: int, name: str
) -> keras.KerasTensor:
    if kernel > 1 and stride > 1:
        # "same" would pad asymmetrically and shift the image by half a pixel in each stage.
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    return layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="valid" if kernel > 1 and stride > 1 else "same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def _norm(x: keras.KerasTensor, name: str, *, zero_gamma: bool = False) -> keras.KerasTensor:
    return layers.BatchNormalization(
        momentum=0.9,
        epsilon=1e-5,
        gamma_initializer="zeros" if zero_gamma else "ones",
        name=f"{name}_norm",
    )(x)


def _activation(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.ReLU(name=f"{name}_relu")(x)


def _blocks(depth: int, stem: str) -> tuple[int, ...]:
    if stem == "imagenet":
        check_choice("resnet", "depth", depth, tuple(IMAGENET_BLOCKS))
        return IMAGENET_BLOCKS[depth]
    if depth < 8 or (depth - 2) % 6:
        near = 6 * max(1, round((depth - 2) / 6)) + 2
        raise ValueError(
            f"resnet: depth must be 6n + 2 with the cifar stem, as {', '.join(map(str, _CIFAR))}; "
            f"{near} is nearest to {depth}"
        )
    return ((depth - 2) // 6,) * 3
