"""What the tests of the server share: two models, one that takes tensors and one tf.Examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

MODEL = "half_plus_two_of_examples_in_tensorflow_2"


@pytest.fixture(scope="module")
def manager(repository: Path) -> Iterator[Any]:
    """Serves `half_plus_two` and `MODEL`."""
    from serving.server.lifecycle.manager import Manager, Model
    from serving.server.servables.session import Session

    manager = Manager(
        [Model(name, repository / name) for name in (MODEL, "half_plus_two")], Session
    )
    manager.start()
    yield manager
    manager.stop()
