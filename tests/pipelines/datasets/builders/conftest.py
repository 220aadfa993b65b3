"""The examples of bundled data sets, in memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow_datasets as tfds

Examples = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="session")
def examples(embedded) -> Callable[[str], Examples]:
    """A function that returns the examples of each split of a bundled data set."""

    @functools.cache
    def read(name: str) -> Examples:
        builder = embedded(name)
        return {
            split: list(tfds.as_numpy(builder.as_dataset(split=split)))
            for split in builder.info.splits
        }

    return read
