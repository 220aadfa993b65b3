"""Every pipeline trains on several devices."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines.catalog import PIPELINES

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Mapping[str, Any]:
    """By pipeline, the loss of an epoch, or a traceback."""
    folder = tmp_path_factory.mktemp("every_task")
    # A process cannot change the number of its devices.
    command = [sys.executable, "-m", "tests.pipelines.training.every_task", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=500)
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_pipeline_trains_on_two_devices(pipeline, results):
    assert isinstance(results[pipeline], float), results[pipeline]
    assert math.isfinite(results[pipeline])
