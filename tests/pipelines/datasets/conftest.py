"""The examples of bundled data sets, in memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

Examples = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="session")
def examples(bundled) -> Callable[[str], Examples]:
    """A function that returns the examples of each split of a bundled data set."""

    @functools.cache
    def read(name: str) -> Examples:
        builder = bundled(name)
        return {
            split: [
                example
                for batch in builder.as_dataset(split=split).ragged_batch(4096)
                for example in unbatched(batch)
            ]
            for split in builder.info.splits
        }

    return read


def unbatched(batch: Any) -> list[Any]:
    """Returns the examples of a batch; TensorFlow needs longer to read them one by one."""
    if isinstance(batch, dict):
        columns = [unbatched(column) for column in batch.values()]
        return [dict(zip(batch, row, strict=True)) for row in zip(*columns, strict=True)]
    if isinstance(batch, tf.RaggedTensor):
        return np.split(batch.values.numpy(), batch.row_splits.numpy()[1:-1])
    return list(batch.numpy())
