"""The embedded sets, each prepared once, and their examples in memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow_datasets as tfds

from pipelines.datasets import loading

Examples = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="session")
def embedded(tmp_path_factory) -> Callable[[str], tfds.core.DatasetBuilder]:
    """A function that returns the prepared builder of an embedded set."""
    folder = tmp_path_factory.mktemp("embedded")
    return functools.cache(lambda name: loading.prepared(name, data_dir=str(folder)))


@pytest.fixture(scope="session")
def examples(embedded) -> Callable[[str], Examples]:
    """A function that returns the examples of each split of an embedded set."""

    @functools.cache
    def read(name: str) -> Examples:
        builder = embedded(name)
        return {
            split: list(tfds.as_numpy(builder.as_dataset(split=split)))
            for split in builder.info.splits
        }

    return read
