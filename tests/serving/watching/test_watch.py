"""From reference and log to a report, a page and a figure."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from drift.reference import FILE
from serving.errors import UserError
from serving.watching import report, watch
from tests.serving.watching.logs import MODEL, SIGNATURE, batches, entry, images, version, write


def watched(tmp_path, inputs: np.ndarray) -> report.Report:
    log = write(tmp_path / "log" / "a.tfrecord", batches(inputs))
    folder = version(tmp_path / "models")
    return watch.watch(MODEL, 1, folder, [str(log)], most=1000)


def test_the_same_kind_of_requests_is_stable(tmp_path):
    found = watched(tmp_path, images(300, 1))
    assert found.drifted == []
    assert found.conclusive
    assert found.sentence() == "m version 1, 300 examples: as in validation"


def test_darker_images_drift(tmp_path):
    found = watched(tmp_path, images(300, 1, light=0.4))
    assert "input images: brightness" in found.drifted
    assert "answer classes" in found.drifted
    assert found.compared[SIGNATURE][0].verdict == "drift"


def test_few_examples_are_not_judged(tmp_path):
    found = watched(tmp_path, images(30, 1, light=0.4))
    assert not found.conclusive
    assert found.sentence() == (
        "m version 1, 30 examples: too few to be judged; 100 are needed, as of validation"
    )


def test_the_page_has_a_row_for_each_quantity_and_the_figure_a_panel(tmp_path):
    found = watched(tmp_path, images(300, 1, light=0.4))
    page = report.write(found, tmp_path / "report")
    assert page == (tmp_path / "report" / report.PAGE).read_text()
    rows = [line for line in page.splitlines() if line.startswith(("| input", "| answer"))]
    assert len(rows) == len(found.every) == 3
    assert all(row.endswith("| **drift** |") for row in rows if "brightness" in row)
    assert "night 100%" in page
    assert Image.open(tmp_path / "report" / report.FIGURE).size[0] > 900


def test_a_version_without_a_reference_is_an_error(tmp_path):
    with pytest.raises(UserError, match=rf"m version 1 has no {FILE}"):
        watch.watch(MODEL, 1, tmp_path, ["log"], most=1)


def test_a_damaged_reference_is_an_error(tmp_path):
    folder = version(tmp_path / "models")
    (folder / FILE).write_text("{")
    with pytest.raises(UserError, match=r"the reference of .* cannot be read"):
        watch.watch(MODEL, 1, folder, ["log"], most=1)


def test_a_log_without_the_version_says_what_it_has(tmp_path):
    log = write(tmp_path / "log", [entry(images(1, 0), version=7), entry(images(1, 0), model="n")])
    with pytest.raises(UserError) as raised:
        watch.watch(MODEL, 1, version(tmp_path / "models"), [str(log)], most=1)
    assert str(raised.value) == (
        "the log has no request to m version 1, but 1 answered by version 7, 1 of another model"
    )
