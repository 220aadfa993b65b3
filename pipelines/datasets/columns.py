"""Columns of a data set, and examples of varying length made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.datasets import in_memory
from pipelines.datasets.stored import Stored
from pipelines.datasets.text_columns import Builder, Column, PackedTexts

_BATCH = 4096


def read_columns(rows: tf.data.Dataset, names: Sequence[str]) -> dict[str, Column]:
    """Returns features of fixed shape as whole columns, in the order of the rows.

    Strings are decoded from UTF-8, and packed.
    """
    chosen = rows.map(lambda row: {name: row[name] for name in names})
    columns = {
        name: Builder()
        if spec.dtype == tf.string
        else Stored(spec.dtype.as_numpy_dtype, spec.shape)
        for name, spec in chosen.element_spec.items()
    }
    for batch in chosen.batch(_BATCH).as_numpy_iterator():
        for name, column in columns.items():
            if isinstance(column, Builder):
                column.append([text.decode() for text in batch[name]])
            else:
                column.append(batch[name])
    return {name: columns[name].column() for name in names}


def strings(texts: PackedTexts) -> tf.Tensor:
    """Returns str [texts] as a tensor, which has no type for packed ones."""
    return tf.constant(np.asarray(texts, object), tf.string)


def ragged_examples(inputs: Mapping[str, tf.RaggedTensor], *targets: Any) -> tf.data.Dataset:
    """Returns ragged inputs and their targets as unbatched examples.

    Each is cut out as it is needed: tf.data's slices of a ragged tensor are a tensor for each row,
    which takes 200 bytes more.
    """
    size = next(iter(inputs.values())).nrows()
    return in_memory.numbers(size).map(in_memory.of(inputs, *targets).one)
