"""The networks of the literature, each in one readable file, each built by its published name.

>>> import architectures
>>> model = architectures.build("resnet50", classes=10, input_shape=(64, 64, 3))

Listing costs nothing: a builder's module, and with it Keras, is imported when it builds.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from architectures.architecture import Architecture
from architectures.catalog import foreign, get, names
from architectures.published import ARCHITECTURES
from architectures.signatures import check, no_hyperparameter

if TYPE_CHECKING:
    import keras

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "build",
    "builder",
    "check",
    "get",
    "load",
    "names",
    "resolve",
]


def builder(name: str) -> Callable[..., keras.Model]:
    """Imports and returns the function that builds the architecture `name`.

    Raises:
        ValueError: The name is unknown, or the package that defines it cannot be used.
    """
    architecture = get(name)
    module, _, function = architecture.builder.partition(":")
    if name in ARCHITECTURES:
        return getattr(importlib.import_module(module), function)
    try:
        return getattr(importlib.import_module(module), function)
    except Exception as error:  # Code of another package may raise anything.
        raise ValueError(
            f"the builder {architecture.builder} of {name}, from the package "
            f"{foreign().distributions[name]}, cannot be imported: {error}"
        ) from error


def build(name: str, **config: Any) -> keras.Model:
    """Builds the architecture `name`.

    Args:
        name: The name of an architecture, see `names()`.
        **config: Hyperparameters of its builder; they override the published ones.

    Returns:
        An untrained Functional model with freshly initialized weights.

    Raises:
        ValueError: The name or a hyperparameter is unknown, a hyperparameter is missing, or the
            builder rejects a value.
    """
    function = builder(name)
    known = inspect.signature(function).parameters
    accepts_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    unknown = sorted(set(config) - set(known))
    if unknown and not accepts_any:
        raise ValueError(no_hyperparameter(name, unknown[0], known))
    config = {**get(name).published, **config}
    missing = [option for option in _required(function) if option not in config]
    if missing:
        raise ValueError(f"{name} needs a value for {' and '.join(missing)}")
    return function(**config)


def resolve(name: str, **config: Any) -> dict[str, Any]:
    """Returns all hyperparameters that `build` with the same arguments uses.

    They are the builder's defaults, overridden by the published ones, overridden by `config`.

    Raises:
        ValueError: The name is unknown, or the package that defines it cannot be used.
    """
    parameters = inspect.signature(builder(name)).parameters.values()
    defaults = {one.name: one.default for one in parameters if one.default is not one.empty}
    return {**defaults, **get(name).published, **config}


def _required(function: Callable[..., Any]) -> list[str]:
    """Returns the names of the parameters that have no default."""
    parameters = inspect.signature(function).parameters.values()
    return [
        one.name
        for one in parameters
        if one.default is one.empty and one.kind is not one.VAR_KEYWORD
    ]


def load(file: str | Path) -> keras.Model:
    """Loads a network saved by Keras, such as a run's `network/model.keras`, without compiling it.

    Raises:
        ValueError: The file cannot be read.
    """
    import keras

    from architectures.custom_objects import register

    problems = register()
    try:
        return keras.models.load_model(file, compile=False)
    except (OSError, TypeError, ValueError) as error:
        reasons = "; ".join([str(error), *problems])
        raise ValueError(f"{file} cannot be read as a Keras model: {reasons}") from error
