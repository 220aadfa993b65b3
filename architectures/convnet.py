"""Convolutional networks: stages of convolutions and pooling, followed by a dense head.

The layout is that of LeNet-5 (LeCun, Bottou, Bengio & Haffner, "Gradient-Based Learning Applied to
Document Recognition", 1998) with today's activation and pooling. Published networks are
configurations of it: the small MNIST convnet of the Keras examples (keras.io/examples/vision/
mnist_convnet), and VGG, configurations A, B, D and E (Simonyan & Zisserman, "Very Deep
Convolutional Networks for Large-Scale Image Recognition", 2015, table 1).

Beyond the papers: batch normalization (Ioffe & Szegedy 2015), on by default, and optional
global pooling before the head (Lin, Chen & Yan, "Network In Network", 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from architectures.checks import (
    check_activation,
    check_choice,
    check_counts,
    check_image_shape,
    check_rates,
)

_POOLINGS = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}
_HEADS = {
    "flatten": layers.Flatten,
    "max": layers.GlobalMaxPooling2D,
    "average": layers.GlobalAveragePooling2D,
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
    pooling: str = "max",
    pool_size: int = 2,
    stage_dropout: float = 0.25,
    head: str = "flatten",
    units: Sequence[int] = (128,),
    dropout: float = 0.5,
    l2: float = 0.0,
) -> keras.Model:
    """Builds a convolutional image classifier.

    Args:
        classes: Number of classes.
        input_shape: (height, width, channels) of one image.
        filters: Number of filters of the convolutions, one entry per stage.
        convolutions: Number of convolutions per stage, one number for all or one per stage.
        kernel_size: Height and width of the kernels.
        padding: "same", or "valid", which removes kernel_size - 1 pixels per convolution.
        activation: Name of a Keras activation.
        normalize: Whether to apply batch normalization between convolution and activation.
        pooling: "max" or "average", at the end of each stage.
        pool_size: Size and stride of that pooling.
        stage_dropout: Dropout rate after each stage's pooling.
        head: Input of the dense layers: "flatten" for the whole feature map of the last stage, or
            "max" or "average" for global pooling.
        units: Units of the hidden dense layers.
        dropout: Dropout rate after each hidden dense layer or, without one, after the last stage.
        l2: L2 regularization factor of the kernels.

    Returns:
        A model from images, float32 [batch, height, width, channels], to logits, float32
        [batch, classes].

    Raises:
        ValueError: A hyperparameter is out of range, or the image is too small for the stages.
    """
    check_image_shape("convnet", input_shape)
    check_counts("convnet", filters=filters)
    depths = [convolutions] * len(filters) if isinstance(convolutions, int) else convolutions
    check_counts(
        "convnet",
        classes=[classes],
        input_shape=input_shape,
        convolutions=depths,
        kernel_size=[kernel_size],
        pool_size=[pool_size],
        units=units,
    )
    check_choice("convnet", "padding", padding, ("same", "valid"))
    check_choice("convnet", "pooling", pooling, tuple(_POOLINGS))
    check_choice("convnet", "head", head, tuple(_HEADS))
    check_rates("convnet", stage_dropout=stage_dropout, dropout=dropout)
    check_activation("convnet", activation)
    _check_stages(input_shape, filters, depths, kernel_size, padding, pool_size)

    def regularizer() -> keras.regularizers.Regularizer | None:
        return keras.regularizers.L2(l2) if l2 else None

    def convolution(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
        x = layers.Conv2D(
            width,
            kernel_size,
            padding=padding,
            use_bias=not normalize,
            kernel_initializer="glorot_uniform",
            kernel_regularizer=regularizer(),
            name=name,
        )(x)
        if normalize:
            # Keras' momentum of 0.99 is too slow for the few hundred steps of small data sets.
            x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)
        return layers.Activation(activation, name=f"{name}_{activation}")(x)

    def dense(x: keras.KerasTensor, width: int, name: str, **options: Any) -> keras.KerasTensor:
        return layers.Dense(
            width,
            kernel_initializer="glorot_uniform",
            kernel_regularizer=regularizer(),
            name=name,
            **options,
        )(x)

    images = keras.Input(tuple(input_shape), name="images")
    x = images
    for stage, (width, depth) in enumerate(zip(filters, depths, strict=True), 1):
        for index in range(1, depth + 1):
            x = convolution(x, width, f"conv{stage}_{index}")
        x = _POOLINGS[pooling](pool_size, name=f"pool{stage}")(x)
        if stage_dropout:
            x = layers.Dropout(stage_dropout, name=f"pool{stage}_dropout")(x)

    x = _HEADS[head](name="flatten" if head == "flatten" else "global_pool")(x)
    for index, width in enumerate(units, 1):
        x = dense(x, width, f"dense{index}", activation=activation)
        x = layers.Dropout(dropout, name=f"dense{index}_dropout")(x)
    if not units:
        x = layers.Dropout(dropout, name="head_dropout")(x)
    return keras.Model(images, dense(x, classes, "logits", dtype="float32"), name="convnet")


def _check_stages(
    input_shape: Sequence[int],
    filters: Sequence[int],
    depths: Sequence[int],
    kernel_size: int,
    padding: str,
    pool_size: int,
) -> None:
    """Raises ValueError if there are no stages, or more than the image size allows."""
    if not filters:
        raise ValueError("convnet: filters needs at least one stage")
    if len(depths) != len(filters):
        raise ValueError(
            f"convnet: convolutions has {len(depths)} entries for {len(filters)} stages in filters"
        )
    height, width, _ = input_shape
    for stage, depth in enumerate(depths, 1):
        lost = depth * (kernel_size - 1) if padding == "valid" else 0
        height, width = (height - lost) // pool_size, (width - lost) // pool_size
        if min(height, width) < 1:
            raise ValueError(
                f"convnet: images of {input_shape[0]}x{input_shape[1]} are used up by stage "
                f"{stage} of {len(depths)}; use fewer filters entries or larger images"
            )
