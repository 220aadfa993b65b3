"""Ratios of our code's costs and a reference's, and the benchmarks that are made of them."""

from __future__ import annotations

import csv
import io

import mlflow
import numpy as np
import pytest
from rich.console import Console

from benchmarks import comparison, decoding, inference, text
from benchmarks.__main__ import main
from benchmarks.comparison import Comparison, in_turns

MLP = "image_classification --architecture mlp --model.units [4]"
HALF = Comparison("thing", "reference", "ms", [2.0, 4.0, 8.0], [1.0, 2.0, 5.0], goal=0.6)


def test_a_ratio_is_the_reference_s_cost_over_ours():
    assert HALF.ratios.tolist() == [0.5, 0.5, 0.625]
    record = HALF.record()
    assert record["ratio"] == HALF.ratio == 0.5
    assert (record["lowest"], record["highest"], record["rounds"]) == (0.5, 0.625, 3)
    assert (record["own"], record["other"]) == (4.0, 2.0)


def test_rounds_begin_with_either_and_the_first_does_not_count():
    calls: list[str] = []

    def cost(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    own, other = in_turns(2, lambda: cost("own"), lambda: cost("other"))
    assert calls == ["other", "own", "own", "other", "other", "own"]
    assert (own, other) == ([3.0, 6.0], [4.0, 5.0])


def test_tables_say_whether_a_goal_is_reached():
    console = Console(width=120)
    with console.capture() as captured:
        console.print(comparison.table([HALF, Comparison("x", "y", "s", [1.0], [1.0], goal=1.0)]))
    assert "0.6 ✗" in captured.get()
    assert "1 ✓" in captured.get()


def test_a_figure_shows_every_round():
    (axes,) = comparison.figure([HALF], "a title").axes
    shown = [np.asarray(line.get_xdata()).tolist() for line in axes.get_lines()]
    assert [0.5, 0.5, 0.625] in shown
    assert [0.6] in shown


@pytest.mark.parametrize("name", ["training", "builders", "input", "text", "inference", "decoding"])
def test_rounds_must_be_positive(name, capsys):
    assert main([name, "--rounds", "0"]) == 2
    assert capsys.readouterr().err == "error: --rounds must be at least 1, not 0\n"


@pytest.mark.parametrize(
    ("options", "measured"),
    [
        (["input", "--only", "records"], {"records", "records, waiting"}),
        (["text", "--texts", "8"], {"buckets"}),
        (["training", "--only", "convnet"], {"convnet"}),
        (
            ["inference"],
            {"mlp, 1 example", "mlp, 2 examples", "mlp, frozen"},
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_benchmark_measures_prints_and_logs(options, measured, store, monkeypatch, capsys):
    monkeypatch.setattr(text, "_LONGEST", 64)
    monkeypatch.setattr(inference, "NETWORKS", {"mlp": (MLP, ("frozen",))})
    monkeypatch.setattr(inference, "_BATCHES", (1, 2))
    monkeypatch.setattr(inference, "_SECONDS", 0.001)
    assert main([*options, "--rounds", "1"]) == 0
    assert "ratio" in capsys.readouterr().out
    (run,) = mlflow.search_runs(experiment_names=["benchmarks"], output_format="list")
    assert isinstance(run, mlflow.entities.Run)
    table = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/results.csv")
    assert {row["name"] for row in csv.DictReader(io.StringIO(table))} == measured


def test_the_growth_of_a_token_s_cost_is_the_exponent_of_a_power_law(monkeypatch):
    """Cached tokens cost the root of their prompt's length here; two rounds agree."""

    def of(exponent: float):
        return lambda size, length, *_: lambda: 3 + length * size**exponent

    monkeypatch.setattr(decoding, "_served", lambda model: of(0.5))
    monkeypatch.setattr(decoding, "_recomputing", lambda model: of(1.0))
    monkeypatch.setattr(decoding, "cpu_seconds", lambda function: function())
    *prompts, growth = decoding._by_prompt(None, rounds=2)
    assert [each.ratio for each in prompts] == pytest.approx([4, 8, 16, 32])
    assert "cost ~ length^0.50 (0.50 … 0.50)" in growth.name
    assert growth.ratio == pytest.approx(1 / 8)
