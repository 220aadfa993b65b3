"""Convolutional networks: stages of convolutions, each ended by pooling, under a dense head.

The layout is that of LeNet-5 (LeCun, Bottou, Bengio & Haffner, "Gradient-Based Learning
Applied to Document Recognition", 1998) with today's activation and pooling. Two published
networks are configurations of it, and their exact parameter counts stand in `SPECS`:

- the small MNIST convnet of the Keras examples (keras.io/examples/vision/mnist_convnet);
- VGG, configurations A, B, D and E (Simonyan & Zisserman, "Very Deep Convolutional Networks
  for Large-Scale Image Recognition", 2015, table 1).

Beyond the papers: batch normalisation by option (Ioffe & Szegedy 2015), on by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers


@dataclass(frozen=True)
class Spec:
    """A published configuration and its parameter count."""

    config: dict[str, Any]
    parameters: int


_VGG = {
    "classes": 1000,
    "input_shape": (224, 224, 3),
    "filters": (64, 128, 256, 512, 512),
    "normalize": False,
    "stage_dropout": 0.0,
    "units": (4096, 4096),
}

SPECS = {
    "mnist_convnet": Spec(
        {
            "classes": 10,
            "input_shape": (28, 28, 1),
            "filters": (32, 64),
            "convolutions": 1,
            "padding": "valid",
            "normalize": False,
            "stage_dropout": 0.0,
            "units": (),
        },
        34_826,
    ),
    "vgg11": Spec({**_VGG, "convolutions": (1, 1, 2, 2, 2)}, 132_863_336),
    "vgg13": Spec({**_VGG, "convolutions": 2}, 133_047_848),
    "vgg16": Spec({**_VGG, "convolutions": (2, 2, 3, 3, 3)}, 138_357_544),
    "vgg19": Spec({**_VGG, "convolutions": (2, 2, 4, 4, 4)}, 143_667_240),
}


def convnet(
    *,
    classes: int,
    input_shape: Sequence[int],
    filters: Sequence[int] = (32, 64),
    convolutions: int | Sequence[int] = 2,
    kernel_size: int = 3,
    padding: str = "same",
    activation: str = "relu",
    normalize: bool = True,
    pool_size: int = 2,
    stage_dropout: float = 0.25,
    units: Sequence[int] = (128,),
    dropout: float = 0.5,
) -> keras.Model:
    """Builds a convolutional image classifier.

    Args:
        classes: Number of classes.
        input_shape: (height, width, channels) of one image.
        filters: Channels of the convolutions, one entry per stage.
        convolutions: Convolutions per stage, one number for all or one per stage.
        kernel_size: Side of the square kernels.
        padding: "same", or "valid" to lose kernel_size - 1 pixels per convolution.
        activation: A Keras activation's name.
        normalize: Whether batch normalisation stands between convolution and activation.
        pool_size: Side and stride of the max pooling that ends each stage.
        stage_dropout: Share of units dropped after each stage's pooling.
        units: Widths of the hidden dense layers of the head.
        dropout: Share of units dropped after each hidden dense layer or, without one, after
            the last stage.

    Returns:
        A model from images, float32 [batch, height, width, channels], to logits, float32
        [batch, classes].

    Raises:
        ValueError: A hyperparameter is out of range, or the image is too small for the stages.
    """
    stages = _check(
        classes, input_shape, filters, convolutions, kernel_size, padding, pool_size, units
    )
    for option, share in (("stage_dropout", stage_dropout), ("dropout", dropout)):
        if not 0 <= share < 1:
            raise ValueError(f"convnet: {option} must be in [0, 1), not {share}")

    images = keras.Input(tuple(input_shape), name="images")
    x = images
    for stage, (width, depth) in enumerate(zip(filters, stages, strict=True), 1):
        for index in range(1, depth + 1):
            x = _convolution(
                x, width, kernel_size, padding, activation, normalize, f"conv{stage}_{index}"
            )
        x = layers.MaxPooling2D(pool_size, name=f"pool{stage}")(x)
        if stage_dropout:
            x = layers.Dropout(stage_dropout, name=f"pool{stage}_dropout")(x)

    x = layers.Flatten(name="flatten")(x)
    for index, width in enumerate(units, 1):
        x = layers.Dense(
            width, activation, kernel_initializer="glorot_uniform", name=f"dense{index}"
        )(x)
        x = layers.Dropout(dropout, name=f"dense{index}_dropout")(x)
    if not units:
        x = layers.Dropout(dropout, name="flatten_dropout")(x)
    logits = layers.Dense(
        classes, kernel_initializer="glorot_uniform", dtype="float32", name="logits"
    )(x)
    return keras.Model(images, logits, name="convnet")


def _convolution(x, width, kernel_size, padding, activation, normalize, name):
    x = layers.Conv2D(
        width,
        kernel_size,
        padding=padding,
        use_bias=not normalize,
        kernel_initializer="glorot_uniform",
        name=name,
    )(x)
    if normalize:
        # Small data need the faster moving averages: with Keras' 0.99 a run of a few hundred
        # steps evaluates with statistics of its first ones.
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)
    return layers.Activation(activation, name=f"{name}_{activation}")(x)


def _check(
    classes, input_shape, filters, convolutions, kernel_size, padding, pool_size, units
) -> list[int]:
    """Returns the convolutions of each stage, or raises one sentence about what cannot be built."""
    if len(input_shape) != 3:
        raise ValueError(
            f"convnet: input_shape must be (height, width, channels), not {tuple(input_shape)}"
        )
    if padding not in ("same", "valid"):
        raise ValueError(f"convnet: padding must be 'same' or 'valid', not {padding!r}")
    if not filters:
        raise ValueError("convnet: filters needs at least one stage")
    stages = [convolutions] * len(filters) if isinstance(convolutions, int) else list(convolutions)
    if len(stages) != len(filters):
        raise ValueError(
            f"convnet: convolutions has {len(stages)} entries for {len(filters)} stages in filters"
        )
    counts = {
        "classes": [classes],
        "filters": filters,
        "convolutions": stages,
        "kernel_size": [kernel_size],
        "pool_size": [pool_size],
        "units": units,
    }
    for option, values in counts.items():
        for value in values:
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"convnet: {option} must be positive integers, not {value!r}")

    height, width, _ = input_shape
    for stage, depth in enumerate(stages, 1):
        lost = depth * (kernel_size - 1) if padding == "valid" else 0
        height, width = (height - lost) // pool_size, (width - lost) // pool_size
        if min(height, width) < 1:
            raise ValueError(
                f"convnet: images of {input_shape[0]}x{input_shape[1]} are used up by stage "
                f"{stage} of {len(stages)}; use fewer filters entries or larger images"
            )
    return stages
