"""Building networks without allocating their weights, to count parameters of any size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
from keras.src.backend.common import global_state


class Counts(NamedTuple):
    """Numbers of parameters of a model; `total` includes moving statistics."""

    total: int
    trainable: int


@contextmanager
def abstract() -> Iterator[None]:
    """A scope in which models are built without allocating their weights."""
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # Otherwise Keras would allocate them when the next such scope ends.
        global_state.set_global_attribute("uninitialized_variables", [])


def count_parameters(builder: Callable[..., keras.Model], *args: Any, **config: Any) -> Counts:
    """Returns the number of parameters of the model that `builder` builds."""
    with abstract():
        model = builder(*args, **config)
        trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
        return Counts(model.count_params(), trainable)
