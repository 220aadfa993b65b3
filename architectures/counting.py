"""Parameters of networks too large to be built in a test."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
from keras.src.backend.common import global_state


class Counts(NamedTuple):
    """Parameters of a model; `total` includes moving statistics."""

    total: int
    trainable: int


@contextmanager
def abstract() -> Iterator[None]:
    """Models built in this scope have weights with shapes but without memory."""
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # Keras would allocate them all when any other such scope ends.
        global_state.set_global_attribute("uninitialized_variables", [])


def count_parameters(builder: Callable[..., keras.Model], *args: Any, **config: Any) -> Counts:
    """Returns the parameters of what `builder` builds."""
    with abstract():
        model = builder(*args, **config)
        trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
        return Counts(model.count_params(), trainable)
