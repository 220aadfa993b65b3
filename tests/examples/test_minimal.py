"""The minimal example runs as a newcomer runs it, and its server answers."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def test_it_trains_exports_and_gets_answers_from_a_server(tmp_path):
    with socket.socket() as probe:
        if probe.connect_ex(("localhost", 8600)) == 0:
            pytest.skip("port 8600, which the example uses, is taken")
    done = subprocess.run(
        [sys.executable, "-m", "examples.minimal", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"test accuracy (0\.\d+), logistic regression (0\.\d+)", done.stdout)
    assert found
    accuracy, baseline = map(float, found.groups())
    assert accuracy > baseline > 0.9
    served, true = (
        re.search(rf"^{name} +\[(.*)\]$", done.stdout, re.MULTILINE) for name in ("served", "true")
    )
    assert served
    assert true
    agreeing = [a == b for a, b in zip(served[1].split(), true[1].split(), strict=True)]
    assert len(agreeing) == 8
    assert sum(agreeing) >= 7
    (version,) = (tmp_path / "digits").iterdir()
    assert (version / "saved_model.pb").is_file()
    assert (version / "assets.extra" / "tf_serving_warmup_requests").is_file()


def test_it_fits_on_two_screens():
    assert len((ROOT / "examples/minimal.py").read_text().splitlines()) <= 80
