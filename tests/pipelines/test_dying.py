"""kill -9: whenever a run dies, it goes on and ends with the weights of a run that did not die."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.dying import MOMENTS, RECIPE

ROOT = Path(__file__).resolve().parent.parent.parent


def killed_and_resumed(folder: Path, devices: int, *moments: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.pipelines.dying", folder, str(devices), *map(str, moments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads(done.stdout.splitlines()[-1])


# In the middle of an epoch, while a checkpoint is written, and at the end.
FEW = (1, 3, 10)


@pytest.mark.parametrize(
    ("devices", "moments", "tolerance"),
    [
        pytest.param(1, FEW, 0.0, id="one device"),
        pytest.param(1, range(len(MOMENTS)), 0.0, id="any moment", marks=pytest.mark.slow),
        pytest.param(2, (1, 4, 7), 1e-6, id="two devices", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_dies_goes_on(devices, moments, tolerance, tmp_path):
    result = killed_and_resumed(tmp_path, devices, *moments)
    assert result["ends"] == [-signal.SIGKILL] * len(moments) + [0]
    assert result["gap"] <= tolerance
    # It is one run, whose history has neither gaps nor repetitions.
    assert result["statuses"] == ["FINISHED", "FINISHED"]
    whole, resumed = result["logged"]
    for name, values in whole.items():
        steps = [step for step, _ in values]
        assert steps == [step for step, _ in resumed[name]]
        expected = range(1, RECIPE.epochs + 1) if name.startswith("train/") else [0]
        assert steps == [*expected][: len(steps)]
        for (_, one), (_, other) in zip(values, resumed[name], strict=True):
            assert other == pytest.approx(one, abs=tolerance, rel=0)
    # Registering again after the death gives no second version.
    assert result["versions"] == 2
