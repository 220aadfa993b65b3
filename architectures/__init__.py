"""The networks of the field, each in one readable file, each built by its published name.

>>> import architectures
>>> model = architectures.build("resnet50", classes=10, input_shape=(64, 64, 3))

Listing costs nothing: a builder's module, and with it Keras, is imported when it builds.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from architectures.catalog import ARCHITECTURES, Architecture

if TYPE_CHECKING:
    import keras

__all__ = ["ARCHITECTURES", "Architecture", "build", "builder", "load", "names"]


def names() -> tuple[str, ...]:
    """Returns the registered names in alphabetical order."""
    return tuple(sorted(ARCHITECTURES))


def builder(name: str) -> Callable[..., keras.Model]:
    """Imports and returns the function that builds the architecture `name`.

    Raises:
        ValueError: Unknown name.
    """
    if name not in ARCHITECTURES:
        near = difflib.get_close_matches(name, names(), cutoff=0.5)
        nearest = f"the nearest are {', '.join(near)}; " if near else ""
        raise ValueError(
            f"unknown architecture {name!r}; {nearest}`python -m architectures` lists all"
        )
    module, function = ARCHITECTURES[name].builder.split(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), function)


def build(name: str, **config: Any) -> keras.Model:
    """Builds the architecture `name`.

    Args:
        name: A registered name, see `names()`.
        **config: Hyperparameters of its builder; they override the published ones.

    Returns:
        An untrained Functional model with freshly initialised weights.

    Raises:
        ValueError: Unknown name, unknown or missing hyperparameter, or a value the builder refuses.
    """
    function = builder(name)
    known = inspect.signature(function).parameters
    free = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    unknown = sorted(set(config) - set(known))
    if unknown and not free:
        raise ValueError(
            f"{name} has no hyperparameter {unknown[0]!r}; it has: {', '.join(sorted(known))}"
        )
    config = {**ARCHITECTURES[name].published, **config}
    missing = [
        option
        for option, parameter in known.items()
        if parameter.default is parameter.empty
        and parameter.kind is not parameter.VAR_KEYWORD
        and option not in config
    ]
    if missing:
        raise ValueError(f"{name} needs a value for {' and '.join(missing)}")
    return function(**config)


def load(file: str | Path) -> keras.Model:
    """Reads a network that Keras saved, as a run's `network/model.keras`, for use or more training.

    Raises:
        ValueError: It cannot be read.
    """
    import keras

    # Layers of this package make themselves known to Keras when they are imported.
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}")
    try:
        return keras.models.load_model(file, compile=False)
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is no network that can be read: {error}") from error
