"""The programs and the package of docs/tutorials, run as they stand there."""

from __future__ import annotations

import contextlib
import runpy
from pathlib import Path

import pytest

from tests.pages import ROOT, write_package

TUTORIALS = ROOT / "docs/tutorials"


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("letters")
    assert write_package(TUTORIALS / "images.md", folder) == ["draw.py"]
    with contextlib.chdir(folder):
        runpy.run_path("draw.py")
    return folder


def test_letters_are_drawn(letters, monkeypatch):
    monkeypatch.chdir(letters)
    assert len([*Path("alphabet").rglob("*.png")]) == 26 * 60
    assert {len([*Path("greek/train", name).iterdir()]) for name in ("alpha", "lambda")} == {8}
    assert len([*Path("greek/test").rglob("*.png")]) == 6 * 30
