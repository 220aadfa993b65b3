"""The benchmark of scoring: its files, its commands, and its table."""

from __future__ import annotations

import json
from argparse import Namespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks import score
from benchmarks.__main__ import main
from benchmarks.models import DENSE
from benchmarks.processes import ProcessFailedError
from serving.__main__ import parse


@pytest.fixture
def folder(tmp_path):
    (tmp_path / DENSE.name).mkdir()
    return tmp_path


def test_both_commands_get_the_same_rows(folder):
    inputs = DENSE.inputs(5)
    score.write(inputs, DENSE, folder / DENSE.name)
    table = pq.read_table(folder / DENSE.name / "rows.parquet")
    np.testing.assert_array_equal(np.array(table[DENSE.input].to_pylist()), inputs)
    content = json.loads((folder / DENSE.name / "rows.json").read_text())
    np.testing.assert_array_equal(content["inputs"][DENSE.input], inputs)


def test_the_commands_have_options_that_exist(folder, monkeypatch):
    said: list[list[str]] = []

    def timed(arguments):
        said.append(arguments)
        return 3000.0

    monkeypatch.setattr(score, "_timed", timed)
    assert score.scored(DENSE, folder, 1500, 2) == 2.0
    assert score.predicted(DENSE, folder, 6000) == 0.5
    options = parse(said[0][1:])
    assert (options.processes, options.keep, options.model) == (2, [], str(DENSE.path(folder)))
    assert said[1][:3] == ["mlflow", "models", "predict"]


def test_a_command_that_fails_says_why():
    with pytest.raises(ProcessFailedError, match="no_such_module"):
        score._timed(["no_such_module"])


def test_requests_are_sent_one_by_one():
    sizes = []

    class Client:
        def predict(self, model, inputs):
            sizes.append(len(inputs[DENSE.input]))

    assert score.one_by_one(Client(), DENSE, DENSE.inputs(4)) > 0  # type: ignore[arg-type]
    assert sizes == [1, 1, 1, 1]


def test_options_out_of_range_are_refused(capsys):
    assert main(["score", "--rows", "0"]) == 2
    assert "--rows must be at least 1, not 0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["score", "--only", "no"])


def test_quick_means_one_network_and_few_rows(monkeypatch, tmp_path):
    asked: list[tuple] = []

    def measured(*arguments):
        asked.append(arguments)
        return []

    monkeypatch.setattr(score, "_measured", measured)
    options = Namespace(rows=20_000, rounds=5, processes=1, only=None, quick=True)
    assert score.comparisons(options, tmp_path) == []
    [(model, _, rows, rounds, _)] = [each[:5] for each in asked]
    assert (model, rows, rounds) == (DENSE, 4000, 3)
