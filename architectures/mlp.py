"""Multilayer perceptrons: dense layers, each followed by an activation.

Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors", 1986. A layer
computes y = f(Wx + b); with an error signal e = dQ/dy, back-propagation gives
dQ/dW = e f'(Wx + b) x^T and passes W^T (e f'(Wx + b)) on to the layer below.

Beyond the paper: ReLU instead of sigmoids; optional batch normalization, dropout and L2
regularization.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from architectures.checks import check_activation, check_counts, check_rates


def mlp(
    *,
    classes: int,
    input_shape: Sequence[int],
    units: Sequence[int] = (512, 512),
    activation: str = "relu",
    normalize: bool = False,
    dropout: float = 0.2,
    l2: float = 0.0,
) -> keras.Model:
    """Builds a multilayer perceptron.

    Args:
        classes: Number of classes.
        input_shape: Shape of one example, of any rank; it is flattened.
        units: Units of the hidden layers; an empty list gives multinomial logistic regression.
        activation: Name of a Keras activation.
        normalize: Whether to apply batch normalization between a layer and its activation.
        dropout: Dropout rate after each hidden layer.
        l2: L2 regularization factor of the kernels.

    Returns:
        A model from float32 [batch, *input_shape] to logits, float32 [batch, classes].

    Raises:
        ValueError: A hyperparameter is out of range.
    """
    check_counts("mlp", classes=[classes], input_shape=input_shape, units=units)
    check_rates("mlp", dropout=dropout)
    check_activation("mlp", activation)

    regularizer = keras.regularizers.L2(l2) if l2 else None
    inputs = keras.Input(tuple(input_shape), name="features")
    x = layers.Flatten(name="flatten")(inputs)
    for index, width in enumerate(units, 1):
        name = f"dense{index}"
        x = layers.Dense(
            width,
            use_bias=not normalize,
            kernel_initializer="glorot_uniform",
            kernel_regularizer=regularizer,
            name=name,
        )(x)
        if normalize:
            x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)
        x = layers.Activation(activation, name=f"{name}_{activation}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    logits = layers.Dense(
        classes,
        kernel_initializer="glorot_uniform",
        kernel_regularizer=regularizer,
        dtype="float32",
        name="logits",
    )(x)
    return keras.Model(inputs, logits, name="mlp")
