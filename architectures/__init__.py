"""The networks of the field, each in one readable file, each built by its published name.

>>> import architectures
>>> architectures.names()
('convnet',)
>>> model = architectures.build("convnet", classes=10, input_shape=(28, 28, 1))

Listing costs nothing: a builder's module, and with it Keras, is imported when it builds.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Architecture:
    """Where a published name is built.

    Attributes:
        builder: `module:function` below this package, imported on first use.
        summary: One line that says what the network is, with its source.
        published: The hyperparameters that the name stands for.
    """

    builder: str
    summary: str
    published: Mapping[str, Any] = field(default_factory=dict)

    def function(self) -> Callable[..., keras.Model]:
        """Imports and returns the builder."""
        module, name = self.builder.split(":")
        return getattr(importlib.import_module(f"{__name__}.{module}"), name)


ARCHITECTURES: dict[str, Architecture] = {
    "convnet": Architecture(
        builder="convnet:convnet",
        summary="Stages of convolutions and pooling under a dense head (LeCun et al. 1998)",
    ),
}


def names() -> tuple[str, ...]:
    """Returns the registered names in alphabetical order."""
    return tuple(sorted(ARCHITECTURES))


def build(name: str, **config: Any) -> keras.Model:
    """Builds the architecture `name`.

    Args:
        name: A registered name, see `names()`.
        **config: Hyperparameters of its builder; they override the published ones.

    Returns:
        An untrained Functional model with freshly initialised weights.

    Raises:
        ValueError: Unknown name, unknown hyperparameter, or a value the builder refuses.
    """
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {name!r}; known are: {', '.join(names())}")
    architecture = ARCHITECTURES[name]
    builder = architecture.function()
    known = inspect.signature(builder).parameters
    unknown = sorted(set(config) - set(known))
    if unknown:
        raise ValueError(
            f"{name} has no hyperparameter {unknown[0]!r}; it has: {', '.join(sorted(known))}"
        )
    return builder(**{**architecture.published, **config})
