"""From columns to the arrays that a signature takes; rows that do not fit have a fault."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.client.calls import TensorInfo
from serving.protocol import tensors

# The values of an input by place in the chunk: one array, or one for each row.
Values = np.ndarray | Sequence[np.ndarray | None]
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


def values(
    column: pa.Array | Sequence[Any], info: TensorInfo, name: str, faults: dict[int, str]
) -> Values:
    """Returns the values of a chunk's column as an input takes them.

    A list, or a single value, fills the shape of a row where that has as many places.

    Args:
        column: The column.
        info: Dtype and shape of the input.
        name: Name of the column, for faults.
        faults: Why a row does not fit is added to it, by place.
    """
    dtype = tensors.numpy_dtype(info.dtype)
    shape = info.shape and info.shape[1:]
    if isinstance(column, pa.Array):
        array = _stacked(column, dtype)
        if array is not None and _fits(array.shape[1:], shape):
            return array.reshape(len(array), *_reshaped(array.shape[1:], shape))
        column = column.to_pylist()
    found: list[np.ndarray | None] = []
    for place, value in enumerate(column):
        try:
            found.append(None if place in faults else _one(value, dtype, shape))
        except ValueError as error:
            faults[place] = f"column {name} {error}"
            found.append(None)
    return found


def batches(
    given: Mapping[str, Values], places: Sequence[int], size: int
) -> Iterator[tuple[list[int], dict[str, np.ndarray]]]:
    """Yields places of rows, and their arrays by input: `size` at most, all of the same shapes."""
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    ragged = [each for each in given.values() if not isinstance(each, np.ndarray)]
    for place in places:
        shapes = tuple(np.shape(each[place]) for each in ragged)  # type: ignore[arg-type]
        groups.setdefault(shapes, []).append(place)
    for group in groups.values():
        for start in range(0, len(group), size):
            rows = group[start : start + size]
            yield rows, take(given, rows)


def take(given: Mapping[str, Values], rows: Sequence[int]) -> dict[str, np.ndarray]:
    """Returns a batch of rows, which have the same shapes."""
    return {
        name: each[rows] if isinstance(each, np.ndarray) else np.stack([each[row] for row in rows])  # type: ignore[misc]
        for name, each in given.items()
    }


def _stacked(column: pa.Array, dtype: np.dtype) -> np.ndarray | None:
    """Returns numbers of one shape without going through Python; None where they are not that."""
    sizes = [len(column)]
    while pa.types.is_nested(column.type) and hasattr(column, "flatten"):
        if column.null_count or not len(column) or pa.types.is_struct(column.type):
            return None
        lengths = pc.min_max(pc.list_value_length(column))
        if lengths["min"] != lengths["max"]:
            return None
        sizes.append(lengths["max"].as_py())
        column = column.flatten()
    boolean = pa.types.is_boolean(column.type)
    number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if column.null_count or not (number or boolean):
        return None
    array = (column.cast(pa.uint8()) if boolean else column).to_numpy()
    array = array.astype(bool) if boolean else array
    if not _castable(array, dtype):
        return None
    return array.astype(dtype).reshape(sizes)


def _castable(array: np.ndarray, dtype: np.dtype) -> bool:
    """Whether numbers keep their meaning in a dtype; floats may lose digits."""
    kind = dtype.kind
    if kind in "iu":
        if array.dtype.kind == "b" or array.dtype.kind not in "iu":
            return False
        limits = np.iinfo(dtype)
        return not array.size or bool(limits.min <= array.min() and array.max() <= limits.max)
    if kind == "b":
        return array.dtype.kind == "b"
    return array.dtype.kind in "iuf" and kind in "fcV"


def _one(value: Any, dtype: np.dtype, shape: tuple[int | None, ...] | None) -> np.ndarray:
    """Returns the array of a row.

    Raises:
        ValueError: Why it does not fit, as the end of a sentence about the column.
    """
    if value is None:
        raise ValueError("has no value")
    if dtype.kind == "O":
        array = np.empty(np.shape(_as_objects(value)), object)
        array[...] = _as_objects(value)
    else:
        if isinstance(value, str):
            value = _parsed(value, dtype)
        try:
            array = np.array(value)
        except ValueError as error:
            raise ValueError("has lists of several lengths within a value") from error
        if array.dtype == object:
            raise ValueError("has a value without numbers, or with missing ones")
        if array.size and not _castable(array, dtype):
            raise ValueError(f"does not hold {dtype}: {str(value)[:60]}")
        array = array.astype(dtype)
    if not _fits(array.shape, shape):
        wanted = "x".join("*" if size is None else str(size) for size in shape or ())
        found = "x".join(map(str, array.shape)) or "that of a single value"
        raise ValueError(f"has the shape {found}, not {wanted or 'that of a single value'}")
    return array.reshape(_reshaped(array.shape, shape))


def _as_objects(value: Any) -> Any:
    """Returns texts as bytes, in an array where there are several."""
    if isinstance(value, list):
        array = np.array([_as_objects(each) for each in value], object)
        if any(isinstance(each, list) for each in value) and array.ndim == 1:
            raise ValueError("has lists of several lengths within a value")
        return array
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise ValueError("is not in UTF-8") from error
    if isinstance(value, bytes):
        return value
    raise ValueError(f"holds no text: {str(value)[:60]}")


def _parsed(text: str, dtype: np.dtype) -> Any:
    text = text.strip()
    try:
        if dtype.kind == "b":
            return _TRUTH[text.lower()]
        return int(text) if dtype.kind in "iu" else float(text)
    except (ValueError, KeyError) as error:
        raise ValueError(f"does not hold {dtype}: {text[:60]!r}") from error


def _fits(found: tuple[int, ...], wanted: tuple[int | None, ...] | None) -> bool:
    if wanted is None or _same(found, wanted):
        return True
    return len(found) <= 1 and None not in wanted and math.prod(found) == math.prod(wanted)  # type: ignore[arg-type]


def _same(found: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(found) == len(wanted) and all(
        size in (None, own) for own, size in zip(found, wanted, strict=True)
    )


def _reshaped(found: tuple[int, ...], wanted: tuple[int | None, ...] | None) -> tuple[int, ...]:
    return found if wanted is None or _same(found, wanted) else wanted  # type: ignore[return-value]
