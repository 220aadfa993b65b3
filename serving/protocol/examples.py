"""tf.Example from dictionaries, image files, and arrays of strings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from serving.protocol import messages


def example(features: Mapping[str, Any]) -> Any:
    """Returns a `tensorflow.Example`; its `SerializeToString()` is an element of a string tensor.

    Args:
        features: A value, a list or an array for each feature: integers and booleans become an
            `int64_list`, floats a `float_list`, `str` and `bytes` a `bytes_list`. Arrays are
            flattened. An empty list is a feature without a value.

    Raises:
        TypeError: A feature holds something else, or both strings and numbers.
        ValueError: An integer exceeds 64 bits.
    """
    message = messages.Example()
    message.features.SetInParent()
    for name, value in features.items():
        feature = message.features.feature[name]
        values = array(value)
        if values.size == 0 and not isinstance(value, np.ndarray):
            continue
        kind = values.dtype.kind
        if kind in "biu":
            feature.int64_list.value.extend(map(int, values.flat))
            feature.int64_list.SetInParent()
        elif kind == "f":
            feature.float_list.value.extend(values.ravel().tolist())
            feature.float_list.SetInParent()
        elif kind in "OSU" and all(isinstance(item, (str, bytes)) for item in values.flat):
            feature.bytes_list.value.extend(
                item.encode() if isinstance(item, str) else item for item in values.flat
            )
            feature.bytes_list.SetInParent()
        else:
            raise TypeError(
                f"feature {name!r} must hold integers, booleans, floats or strings, not {value!r}"
            )
    return message


def example_input(
    examples: Iterable[Mapping[str, Any]], context: Mapping[str, Any] | None = None
) -> Any:
    """Returns a `tensorflow.serving.Input` of examples.

    Args:
        examples: Features of each example, as `example` takes them.
        context: Features that the server adds to each of them.
    """
    message = messages.Input()
    if context is None:
        message.example_list.examples.extend(example(features) for features in examples)
        message.example_list.SetInParent()
    else:
        with_context = message.example_list_with_context
        with_context.examples.extend(example(features) for features in examples)
        with_context.context.CopyFrom(example(context))
    return message


def image(source: str | Path | bytes) -> bytes:
    """Returns an encoded image, as signatures that take image files expect it.

    Args:
        source: Path of a PNG, JPEG, GIF or BMP file, or its bytes, which are returned as they are.

    Raises:
        OSError: The file cannot be read.
    """
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def array(value: Any) -> np.ndarray:
    """Returns an array; strings as objects, since NumPy's string type strips zero bytes."""
    first = value
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    return np.array(value, object) if isinstance(first, (str, bytes)) else np.asarray(value)
