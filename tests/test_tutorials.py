"""The programs and the package of docs/tutorials, run as they stand there."""

from __future__ import annotations

import contextlib
import json
import runpy
import sysconfig
from pathlib import Path

import pytest

from pipelines import catalog
from pipelines.cli import parse
from pipelines.config import check
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


def test_documentation_is_collected(tmp_path, monkeypatch):
    """Of a library of one package, which is enough."""
    monkeypatch.chdir(tmp_path)
    library = tmp_path / "library"
    (library / "json").mkdir(parents=True)
    for file in Path(json.__file__).parent.glob("*.py"):
        (library / "json" / file.name).write_text(file.read_text())
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(library))
    assert write_package(TUTORIALS / "bert.md", tmp_path) == ["collect.py"]
    runpy.run_path("collect.py")
    text = Path("corpus/json.decoder.txt").read_text()
    assert text.startswith("Subclass of ValueError with the following additional properties:\n")
    assert ">>>" not in text


def test_the_pipeline_of_a_package_has_its_data_and_its_baseline(letters, tmp_path, monkeypatch):
    monkeypatch.chdir(letters)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "greek.py" in write_package(TUTORIALS / "pipeline.md", tmp_path)
    installed = tmp_path / "greek_letters-0.1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: greek-letters\n")
    (installed / "entry_points.txt").write_text(f"[{catalog.GROUP}]\ngreek = greek:PIPELINE\n")
    catalog.foreign.cache_clear()
    try:
        name, config = parse(["greek"])
        check(config)
        task = catalog.make_task(name, config)
        found = {each.name: each.validation for each in task.baselines(task.load())}
    finally:
        catalog.foreign.cache_clear()
    assert task.metric == "macro_f1"
    assert 1 / 6 < found["three most similar images"]["macro_f1"] < 1
    assert len(found) >= 2
