"""`python -m serving score`: processes, what it prints, and its exit codes."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from serving.__main__ import main
from serving.commands import output
from serving.errors import ServingError
from serving.scoring import local
from serving.scoring.shard import score
from serving.scoring.worker import load
from tests.serving import saved_models
from tests.serving.scoring.runs import table

ROOT = Path(__file__).resolve().parent.parent.parent.parent
ROWS = 1500


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved_models.half_plus_two(tmp_path_factory.mktemp("models") / "half_plus_two")


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs the command and returns its exit code, what it printed and its errors."""
    monkeypatch.setattr(output.console, "width", 500)

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["score", *map(str, arguments)])
        return (code, *capsys.readouterr())

    return run


def test_a_command_that_is_killed_goes_on(run, model, tmp_path):
    x = np.arange(ROWS, dtype=np.float32)
    x[77] = np.nan
    pq.write_table(pa.table({"x": pa.array(x, from_pandas=True)}), tmp_path / "in.parquet")
    arguments = [str(model), "--input", str(tmp_path / "in.parquet"), "--output"]
    arguments += [str(tmp_path / "out"), "--rows_per_part", "100"]
    command = [sys.executable, "-m", "serving", "score", *arguments]
    command += ["--processes", "2", "--batch_size", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 300
        while len(list((tmp_path / "out").glob("part-*.parquet"))) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
    done = len(list((tmp_path / "out").glob("part-*.parquet")))
    assert 2 <= done < 15
    # Nobody writes any more.
    assert psutil.wait_procs(children, timeout=60)[1] == []
    code, printed, errors = run(*arguments, "--processes", 1)
    assert code == 0
    assert "error" not in errors
    lines = printed.splitlines()
    assert lines[0] == f"model    half_plus_two, {model}"
    assert lines[1] == "takes    x (serving_default)"
    assert lines[2].startswith("input    1,500 rows of 1 file, ")
    assert lines[2].endswith(" of them done already")
    assert lines[3].startswith(f"output   {tmp_path / 'out'}: 1,499 rows scored, 1 rejected; ")
    assert lines[4] == f"reasons  {tmp_path / 'out' / '_rejected.jsonl'}"
    found = table(tmp_path / "out")
    good = [row for row in range(ROWS) if row != 77]
    assert found["row"].to_pylist() == good
    assert found["y"].to_pylist() == [row / 2 + 2 for row in good]
    metadata = pq.read_schema(tmp_path / "out" / "part-00003.parquet").metadata
    assert metadata[b"scored_by.model"] == b"half_plus_two"
    assert metadata[b"scored_by.signature"] == b"serving_default"
    assert metadata[b"scored_by.source"] == str(model).encode()
    assert {b"scored_by.version", b"scored_by.digest"} <= metadata.keys()


def test_a_model_that_cannot_be_loaded_is_said(model, tmp_path):
    (tmp_path / "saved_model.pb").write_bytes((model / "saved_model.pb").read_bytes())
    with pytest.raises(ServingError, match="variables") as error:
        load(tmp_path)
    # A process of the engine sends it to its parent.
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_an_output_within_the_input_is_refused(run, model, tmp_path):
    (tmp_path / "in.csv").write_text("x\n1\n")
    code, _, errors = run(model, "--input", tmp_path, "--output", tmp_path / "out")
    assert code == 2
    assert "lies within the input" in errors


def test_a_model_that_reads_files_scores_only_if_that_is_allowed(run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        local, "run", lambda job, shards, *_: (score(job, each, load(job.model)) for each in shards)
    )
    (tmp_path / "secret").write_text("content")
    pq.write_table(pa.table({"names": [str(tmp_path / "secret")]}), tmp_path / "in.parquet")
    reader = saved_models.stateless(
        tmp_path / "reader",
        tf.TensorSpec([None], tf.string),
        serving_default=lambda names: {"content": tf.map_fn(tf.io.read_file, names)},
    )
    arguments = (reader, "--input", tmp_path / "in.parquet", "--output", tmp_path / "out")
    code, printed, errors = run(*arguments)
    assert (code, printed) == (2, "")
    assert errors == (
        f"error: {reader} can reach files, Python or the network by the ops ReadFile; if you trust "
        "it: --allow_ops ReadFile\n"
    )
    assert not (tmp_path / "out").exists()
    assert run(*arguments, "--allow_ops", "ReadFile")[0] == 0
    assert table(tmp_path / "out")["content"].to_pylist() == ["content"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gpus", "1"], "--gpus is for --engine ray"),
        (["--column", "x"], "--column takes INPUT=COLUMN, not x"),
        (["--version", "2"], "is the folder of one SavedModel; leave out --version"),
    ],
)
def test_a_wrong_choice_is_said(run, model, tmp_path, arguments, said):
    (tmp_path / "in.csv").write_text("x\n1\n")
    code, _, errors = run(
        model, "--input", tmp_path / "in.csv", "--output", tmp_path / "out", *arguments
    )
    assert code == 2
    assert said in errors
    assert not (tmp_path / "out").exists()
