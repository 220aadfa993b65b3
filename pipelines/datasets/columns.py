"""Columns of a data set, and examples of varying length made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.datasets import in_memory
from pipelines.datasets.text_columns import TEXT

_BATCH = 4096


def read_columns(rows: tf.data.Dataset, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns features of fixed shape as whole columns, in the order of the rows."""
    chosen = rows.map(lambda row: {name: row[name] for name in names})
    batches = list(chosen.batch(_BATCH).as_numpy_iterator())
    return {name: np.concatenate([batch[name] for batch in batches]) for name in names}


def decode_strings(column: np.ndarray) -> np.ndarray:
    """Decodes UTF-8 bytes [texts] to str [texts], packed."""
    chunks = (column[start : start + _BATCH] for start in range(0, len(column), _BATCH))
    parts = [np.array([text.decode() for text in chunk], TEXT) for chunk in chunks]
    return np.concatenate(parts) if parts else np.array([], TEXT)


def strings(texts: np.ndarray) -> tf.Tensor:
    """Returns str [texts] as a tensor, which has no type for packed ones."""
    return tf.constant(np.asarray(texts, object), tf.string)


def ragged_examples(inputs: Mapping[str, tf.RaggedTensor], *targets: Any) -> tf.data.Dataset:
    """Returns ragged inputs and their targets as unbatched examples.

    Each is cut out as it is needed: tf.data's slices of a ragged tensor are a tensor for each row,
    which takes 200 bytes more.
    """
    size = next(iter(inputs.values())).nrows()
    return tf.data.Dataset.range(size).map(in_memory.of(inputs, *targets).one)
