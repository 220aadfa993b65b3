"""Building the network that a config chooses."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras

import architectures
from pipelines.config import Config
from pipelines.errors import UserError
from pipelines.task import Network


def build(
    config: Config, error_message: str, fits: Callable[[keras.Model], bool], **fixed: Any
) -> Network:
    """Builds the architecture that was chosen, and says with which hyperparameters.

    Args:
        config: Names the architecture and its hyperparameters.
        error_message: Error message for an architecture of another task, without its name.
        fits: Returns whether a network's output is the task's.
        **fixed: Hyperparameters that follow from the data set.

    Raises:
        UserError: The architecture is for another task, or a hyperparameter cannot be chosen.
    """
    if both := fixed.keys() & config.model.keys():
        raise UserError(f"--model.{both.pop()} cannot be chosen: it follows from the data set")
    options = inspect.signature(architectures.builder(config.architecture)).parameters
    if not fixed.keys() <= options.keys():
        raise UserError(f"{config.architecture} {error_message}")
    try:
        model = architectures.build(config.architecture, **fixed, **config.model)
    except ValueError as error:
        raise UserError(str(error)) from error
    if not fits(model):
        raise UserError(f"{config.architecture} {error_message}")
    resolved = architectures.resolve(config.architecture, **fixed, **config.model)
    return Network(model, hyperparameters=resolved)
