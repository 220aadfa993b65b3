"""A run that is killed goes on without a row lost or doubled; another run is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from serving.errors import UserError
from serving.scoring.manifest import Output
from tests.serving.scoring.runs import scored, table
from tests.serving.scoring.test_shard import HALF, rejected

ROOT = Path(__file__).resolve().parent.parent.parent.parent

# Scores, and kills itself with the first, third … call of a function.
KILLED = """
import os, signal, sys
import numpy as np
from serving.scoring import manifest, outputs
from tests.serving.scoring import runs
from pathlib import Path

saved, given, output, what, calls = sys.argv[1:]
left = int(calls)

def counted(function):
    def call(*arguments):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return call

half = counted(lambda x: x / 2 + 2) if what == "model" else lambda x: x / 2 + 2
if what == "replace":
    os.replace = counted(os.replace)
runner = runs.Fake(half, lambda x: bool((x % 7 == 3).any()))
runs.scored(Path(saved), [given], Path(output), runner, batch_size=4, rows_per_part=10)
"""


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"x": row}) + "\n" for row in range(45)))
    return path


def program(*arguments: object) -> list[str]:
    return [sys.executable, "-c", KILLED, *map(str, arguments)]


# os.replace is called for the manifest; for each part, and for its rejected rows, which the last
# one has not; at the end for all rejected rows, and for the manifest.
@pytest.mark.parametrize(
    ("what", "calls"),
    [("model", 9), ("replace", 1), ("replace", 3), ("replace", 11), ("replace", 12)],
)
def test_a_killed_run_goes_on(saved, tmp_path, lines, what, calls):
    output = tmp_path / "out"
    killed = subprocess.run(
        program(saved / "half_plus_two", lines, output, what, calls), cwd=ROOT, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    begun = {part.name: part.stat().st_mtime_ns for part in output.glob("part-*.parquet")}
    runner = HALF.__class__(HALF.answer, lambda x: bool((x % 7 == 3).any()))
    options = {"batch_size": 4, "rows_per_part": 10}
    bad = [row for row in range(45) if row % 7 == 3]
    assert scored(saved / "half_plus_two", [lines], output, runner, **options) == (
        45 - len(bad),
        len(bad),
    )
    good = [row for row in range(45) if row % 7 != 3]
    assert table(output)["row"].to_pylist() == good
    assert table(output)["y"].to_pylist() == [row / 2 + 2 for row in good]
    assert [line["row"] for line in rejected(output)] == bad
    for name, time in begun.items():  # Not written again.
        assert (output / name).stat().st_mtime_ns == time
    left = {path.name for path in output.iterdir() if not path.name.startswith("part-")}
    assert left == {".lock", "_manifest.json", "_rejected.jsonl"}


def test_a_finished_run_has_nothing_to_do(saved, tmp_path, lines):
    arguments = (saved / "half_plus_two", [lines], tmp_path / "out")
    assert scored(*arguments, HALF) == (45, 0)
    before = table(tmp_path / "out")
    assert scored(*arguments, None) == (45, 0)
    (tmp_path / "out" / "part-00000.parquet").unlink()
    assert scored(*arguments, HALF) == (45, 0)
    assert table(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "echo", "column": "text"}, "holds scores of the model .*half_plus_two .*echo"),
        (
            {"content": '{"x": 8}\n'},
            r"holds scores of the input .*in.jsonl \(.*give another folder",
        ),
        ({"keep": []}, "holds scores of the kept columns x=int64, not none"),
        ({"rows_per_part": 7}, "holds scores of --rows_per_part 10000, not 7"),
    ],
)
def test_another_run_in_the_same_folder_is_refused(saved, tmp_path, lines, change, said):
    scored(saved / "half_plus_two", [lines], tmp_path / "out", HALF)
    before = table(tmp_path / "out")
    if content := change.pop("content", ""):
        lines.write_text(content)
    if column := change.pop("column", ""):
        change["columns"] = {column: "x"}
        lines.write_text('{"x": "text"}\n')
    with pytest.raises(UserError, match=said):
        scored(saved / change.pop("model", "half_plus_two"), [lines], tmp_path / "out", **change)
    assert table(tmp_path / "out") == before


def test_a_folder_with_other_files_is_refused_and_stays(saved, tmp_path, lines):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files; give a new or an empty folder"):
        scored(saved / "half_plus_two", [lines], tmp_path / "out", HALF)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_folder_in_which_nothing_began_is_not_left(saved, tmp_path, lines):
    with pytest.raises(UserError, match="no signature"):
        scored(saved / "half_plus_two", [lines], tmp_path / "out", HALF, signature="no")
    assert not (tmp_path / "out").exists()


def test_two_runs_at_the_same_time_are_refused(tmp_path):
    with (
        Output(tmp_path / "out").locked(),
        pytest.raises(UserError, match=rf"another run is writing .* \(process {os.getpid()}\)"),
        Output(tmp_path / "out").locked(),
    ):
        pass
