"""Checks of hyperparameters: each error names the option, the value and what is allowed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import keras


def check_counts(builder: str, **options: Sequence[Any]) -> None:
    """Raises ValueError unless every entry of every option is a positive integer."""
    for option, values in options.items():
        if not isinstance(values, list | tuple):
            raise ValueError(f"{builder}: {option} must be a list of integers, not {values!r}")
        for value in values:
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{builder}: {option} must be positive integers, not {value!r}")


def check_rates(builder: str, **options: float) -> None:
    """Raises ValueError unless every option is a number in [0, 1)."""
    for option, rate in options.items():
        if not isinstance(rate, int | float) or not 0 <= rate < 1:
            raise ValueError(f"{builder}: {option} must be a number in [0, 1), not {rate!r}")


def check_choice(builder: str, option: str, value: object, allowed: Collection[object]) -> None:
    """Raises ValueError unless `value` is one of `allowed`."""
    if value not in allowed:
        choices = ", ".join(map(repr, allowed))
        raise ValueError(f"{builder}: {option} must be one of {choices}, not {value!r}")


def check_activation(builder: str, activation: str) -> None:
    """Raises ValueError unless Keras has an activation of that name."""
    if not callable(getattr(keras.activations, str(activation), None)):
        raise ValueError(f"{builder}: Keras has no activation {activation!r}")


def check_image_shape(builder: str, input_shape: Sequence[int | None]) -> None:
    """Raises ValueError unless `input_shape` is (height, width, channels)."""
    if not isinstance(input_shape, list | tuple) or len(input_shape) != 3:
        raise ValueError(
            f"{builder}: input_shape must be (height, width, channels), not {input_shape!r}"
        )
