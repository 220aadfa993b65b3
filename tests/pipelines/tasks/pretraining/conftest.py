"""What the tests of pre-training share: tiny documents, and networks for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipelines.tasks.pretraining import examples
from tests.pipelines.tasks.pretraining.examples import Built


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TFDS folder with tiny documents in it."""
    folder = tmp_path_factory.mktemp("tfds")
    examples.store_documents(folder)
    return folder


@pytest.fixture(scope="session")
def bert(folder: Path) -> Built:
    """`bert_tiny` with next sentences."""
    return examples.build(examples.config(folder))


@pytest.fixture(scope="session")
def electra(folder: Path) -> Built:
    """`electra_small` with its generator."""
    return examples.build(examples.electra_config(folder))
