"""U-Net: a contracting path, an expanding path and skip connections between equal sizes.

Ronneberger, Fischer & Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
2015, figure 1. Each level of the expanding path concatenates the feature map of the contracting
path with the up-sampled one.

As published with `padding="valid", normalize=False`: unpadded convolutions (572x572 in, 388x388
out), cropped skip connections, 2x2 up-convolutions that halve the channels, dropout at the end of
the contracting path, He initialization. Beyond the paper: `padding="same"`, where the output has
the size of the input and nothing is cropped, and batch normalization (Ioffe & Szegedy 2015).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from architectures.checks import check_choice, check_counts, check_image_shape, check_rates


def unet(
    *,
    classes: int,
    input_shape: Sequence[int | None],
    filters: int = 64,
    depth: int = 4,
    padding: str = "same",
    normalize: bool = True,
    dropout: float = 0.5,
) -> keras.Model:
    """Builds a U-Net.

    Args:
        classes: Number of classes, background included.
        input_shape: (height, width, channels) of one image; height and width may be None with
            padding "same"; at run time they must then be multiples of 2^depth.
        filters: Channels of the first level; each further level has twice as many.
        depth: Number of times that the size is halved.
        padding: Padding of the convolutions: "valid", as published, or "same".
        normalize: Whether to apply batch normalization between convolution and activation.
        dropout: Dropout rate at the end of the contracting path.

    Returns:
        A model from images, float32 [batch, height, width, channels], to logits, float32
        [batch, height', width', classes]; with "same" the size is kept, with "valid" it shrinks.

    Raises:
        ValueError: A hyperparameter is out of range, or the size does not divide evenly; the
            message names the nearest sizes that do.
    """
    check_image_shape("unet", input_shape)
    check_counts("unet", classes=[classes], filters=[filters], depth=[depth])
    check_choice("unet", "padding", padding, ("valid", "same"))
    check_rates("unet", dropout=dropout)
    for size in input_shape[:2]:
        _check_size(size, depth, padding)

    images = keras.Input(tuple(input_shape), name="images")
    x, skips = images, []
    for level in range(depth):
        x = _two_convolutions(x, filters * 2**level, padding, normalize, f"down{level + 1}")
        skips.append(x)
        if level == depth - 1 and dropout:
            x = layers.Dropout(dropout, name=f"down{level + 1}_dropout")(x)
        x = layers.MaxPooling2D(2, name=f"down{level + 1}_pool")(x)
    x = _two_convolutions(x, filters * 2**depth, padding, normalize, "bottom")
    if dropout:
        x = layers.Dropout(dropout, name="bottom_dropout")(x)

    for level in reversed(range(depth)):
        name = f"up{level + 1}"
        x = layers.Conv2DTranspose(
            filters * 2**level, 2, strides=2, kernel_initializer="he_normal", name=f"{name}_conv"
        )(x)
        skip = skips[level]
        if padding == "valid":
            skip = layers.Cropping2D(_crop(skip.shape, x.shape), name=f"{name}_crop")(skip)
        x = layers.Concatenate(name=f"{name}_concat")([skip, x])
        x = _two_convolutions(x, filters * 2**level, padding, normalize, name)

    logits = layers.Conv2D(
        classes, 1, kernel_initializer="he_normal", dtype="float32", name="logits"
    )(x)
    return keras.Model(images, logits, name="unet")


def _two_convolutions(
    x: keras.KerasTensor, width: int, padding: str, normalize: bool, name: str
) -> keras.KerasTensor:
    for index in (1, 2):
        part = f"{name}_conv{index}"
        x = layers.Conv2D(
            width,
            3,
            padding=padding,
            use_bias=not normalize,
            kernel_initializer="he_normal",
            name=part,
        )(x)
        if normalize:
            # Keras' momentum of 0.99 is too slow for the few steps of small data sets.
            x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{part}_norm")(x)
        x = layers.ReLU(name=f"{part}_relu")(x)
    return x


def _crop(large: Sequence[int], small: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Returns the centered cropping that gives `large` the height and width of `small`."""
    pairs = []
    for a, b in zip(large[1:3], small[1:3], strict=True):
        before = (a - b) // 2
        pairs.append((before, a - b - before))
    return tuple(pairs)


def output_size(size: int, depth: int = 4, padding: str = "valid") -> int | None:
    """Returns the output size for an input size, or None if the input does not divide evenly.

    >>> output_size(572)
    388
    """
    lost = 4 if padding == "valid" else 0  # Two 3x3 convolutions.
    for _ in range(depth):
        size -= lost
        if size < 2 or size % 2:
            return None
        size //= 2
    for _ in range(depth):
        size = (size - lost) * 2
    size -= lost
    return size if size > 0 else None


def _check_size(size: int | None, depth: int, padding: str) -> None:
    if size is None:
        if padding == "valid":
            raise ValueError("unet: padding 'valid' needs a fixed height and width")
        return
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"unet: input_shape must be positive integers, not {size!r}")
    if output_size(size, depth, padding) is not None:
        return
    reach = range(1, size + 200 * 2**depth)
    legal = [near for near in reach if output_size(near, depth, padding) is not None]
    below = [near for near in legal if near < size][-1:]
    above = [near for near in legal if near > size][:1]
    raise ValueError(
        f"unet: images of side {size} do not divide evenly at depth {depth} with padding "
        f"{padding!r}; the nearest that do are {' and '.join(map(str, below + above))}"
    )
