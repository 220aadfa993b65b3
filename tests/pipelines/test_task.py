"""The contract of a task."""

from __future__ import annotations

import pytest

from pipelines.task import Task
from tests.pipelines import samples


def test_a_task_that_lacks_a_method_cannot_be_made():
    class Half(Task):
        metric = "error"

        def load(self):
            return samples.sequences()

    with pytest.raises(TypeError, match=r"abstract method.*network.*postprocess.*signatures"):
        Half(samples.sequence_config())  # type: ignore[abstract]
