"""The adding and the copy problem: their data, their baselines, and the command."""

from __future__ import annotations

import mlflow
import numpy as np
import pytest

from benchmarks import memory
from benchmarks.__main__ import main


def test_one_number_in_either_half_is_marked_and_the_target_is_their_sum():
    inputs, sums = memory.adding(200, 11, seed=1)
    values, markers = inputs[..., 0], inputs[..., 1]
    assert (markers[:, :5].sum(1) == 1).all()
    assert (markers[:, 5:].sum(1) == 1).all()
    np.testing.assert_allclose((values * markers).sum(1), sums[:, 0])
    many = memory.adding(20_000, 4, seed=2)[1]
    assert np.mean((many - 1) ** 2) == pytest.approx(memory.baseline("adding", 4), rel=0.05)


def test_letters_are_asked_for_after_the_delimiter():
    inputs, targets = memory.copy(50, 7, seed=1)
    assert inputs.shape == targets.shape == (50, 27)
    assert ((inputs[:, :10] >= 1) & (inputs[:, :10] <= 8)).all()
    np.testing.assert_array_equal(inputs[:, :10], targets[:, -10:])
    assert (targets[:, :-10] == 0).all()
    assert (inputs[:, 16] == 9).all()
    rest = np.delete(inputs[:, 10:], 6, axis=1)
    assert (rest == 0).all()
    assert memory.baseline("copy", 7) == pytest.approx(10 * np.log(8) / 27)


def test_the_command_trains_and_logs(store, capsys):
    chosen = ["--problems", "adding", "--cells", "simple_rnn", "--steps", "6", "--units", "4"]
    assert main(["memory", *chosen, "--updates", "10"]) == 0
    assert "adding, T = 6: simple_rnn, clip 1: test loss" in capsys.readouterr().out
    experiment = mlflow.get_experiment_by_name("benchmarks")
    assert experiment
    (run,) = mlflow.search_runs([experiment.experiment_id], output_format="list")
    assert isinstance(run, mlflow.entities.Run)
    files = mlflow.MlflowClient().list_artifacts(run.info.run_id)
    assert {file.path for file in files} == {"figures", "results.csv", "table.md"}


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--steps", "3", "--steps must be at least 4, not 3"),
        ("--updates", "9", "--updates must be at least 10, not 9"),
        ("--clip_norm", "-1", "--clip_norm must be at least 0, not -1"),
        ("--learning_rate", "0", "--learning_rate must be above 0, not 0"),
    ],
)
def test_options_out_of_range_are_one_sentence(option, value, message, capsys):
    assert main(["memory", option, value]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
