"""Goals, tables and figures of known results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from benchmarks import experiments, report
from benchmarks.figures import figures
from benchmarks.goals import goals
from benchmarks.load import Load, Sample
from benchmarks.samples import Histogram, Row, Served
from benchmarks.systems import ECHO, IN_PROCESS, MLFLOW, SERVER, server_name
from pipelines.errors import UserError


def row(experiment: str, system: str, callers: int, *rates: int, offered: float = 0.0) -> Row:
    rounds = tuple(Sample(1.0, np.linspace(0.001, 0.002, rate)) for rate in rates)
    return Row(experiment, system, Load(callers, 1.0, offered), rounds)


ROWS = [
    row(experiments.RESNET_EIGHT, IN_PROCESS, 1, 100, 200, 100),
    row(experiments.RESNET_EIGHT, SERVER, 1, 96, 180, 95),
    row(experiments.TRIVIAL, SERVER, 8, 60, 80),
    row(experiments.TRIVIAL, ECHO, 8, 100, 100),
    # An open loop with as many callers is something else.
    row(experiments.TRIVIAL, ECHO, 8, 1, 1, offered=5),
    row(experiments.TRIVIAL, server_name(workers=4), 8, 2100, 2200, 2300),
    row(experiments.BATCHING, SERVER, 64, 10),
    row(experiments.BATCHING, server_name(batching=True), 64, 25),
    row(experiments.IMAGES, SERVER, 1, 60),
    row(experiments.IMAGES, server_name(rest=True), 1, 40),
    row(experiments.IMAGES, MLFLOW, 1, 10),
]


@pytest.mark.parametrize(
    ("name", "measured", "lowest", "highest", "reached"),
    [
        ("resnet50_to_in_process", 0.95, 0.9, 0.96, True),
        ("trivial_to_echo_8", 0.7, 0.6, 0.8, False),
        ("trivial_p99_to_echo_8", 1, 1, 1, True),
        ("trivial_by_workers", 2200, 2100, 2300, True),
        ("batching_to_none", 2.5, 2.5, 2.5, True),
        ("convnet_grpc_to_mlflow_1", 6, 6, 6, True),
        ("convnet_rest_to_mlflow_1", 4, 4, 4, False),
    ],
)
def test_aims_compare_round_by_round(name, measured, lowest, highest, reached):
    (goal,) = [goal for goal in goals(ROWS, workers=4) if goal.name == name]
    assert (goal.measured, goal.lowest, goal.highest) == pytest.approx((measured, lowest, highest))
    assert goal.reached is reached


def test_an_aim_without_its_measurements_is_left_out():
    assert goals([], workers=2) == []
    assert len(goals(ROWS, workers=4)) == 7
    assert [goal.name for goal in goals(ROWS[:2], workers=4)] == ["resnet50_to_in_process"]
    assert "trivial_by_workers" not in {goal.name for goal in goals(ROWS, workers=2)}


def test_nothing_answered_reaches_nothing():
    rows = [row(experiments.RESNET_EIGHT, who, 1, 0) for who in (IN_PROCESS, SERVER)]
    (goal,) = goals(rows, workers=2)
    assert not goal.reached
    assert report.metrics(rows, [goal])["resnet_50_eight_images_224x224x3/server/1/errors"] == 0
    assert "not reached" in text(report.goals_table([goal]))


def text(table) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_tables_say_what_was_measured():
    results = text(report.results_table(ROWS))
    assert experiments.BATCHING in results
    assert "open, 5/s" in results
    assert "2,200" in results
    reached = text(report.goals_table(goals(ROWS, workers=4)))
    assert ">= 2200 requests/s" in reached
    assert reached.count("not reached") == 2


def test_records_become_a_table_without_empty_columns():
    records = [
        {"name": "a|b", "pairs": (2.0, 1.0), "count": 1200, "small": 2e-5, "none": None},
        {"name": "c", "pairs": (1.0,), "count": 1, "small": 0.25, "none": None},
    ]
    assert report.markdown(records) == (
        "| name | pairs | count | small |\n| --- | --- | --- | --- |\n"
        "| a\\|b | 1.00 … 2.00 | 1,200 | 2.00e-05 |\n| c | 1.00 … 1.00 | 1 | 0.250 |\n"
    )


def test_metrics_have_names_that_stay():
    values = report.metrics(ROWS, goals(ROWS, workers=4))
    assert values["half_plus_two/server_4_workers/8/requests_per_second"] == 2200
    assert values["goal/trivial_to_echo_8"] == pytest.approx(0.7)
    assert values["half_plus_two/grpc_echo/8/p50_ms"] == pytest.approx(1.5)


def test_figures_are_made_of_the_measurements_there_are():
    assert figures([]) == {}
    assert set(figures(ROWS)) == {"latency_against_load"}
    swept = [row("e", "a", callers, 10) for callers in (1, 8)]
    assert set(figures(swept)) == {"throughput_against_concurrency"}
    few, many = (
        Histogram((1, 2, np.inf), np.array(counts), 9) for counts in ([0, 9, 0], [0, 1, 8])
    )
    batched = [
        replace(own, served=Served(batches=batches))
        for own, batches in zip(swept, (few, many), strict=True)
    ]
    panels = figures(batched)["batch_sizes"].axes
    assert [[label.get_text() for label in axes.get_xticklabels()] for axes in panels] == [
        ["1", ">=2"],
        ["1", ">=2"],
    ]


def test_a_row_that_failed_is_a_line_as_any_other():
    failed = Row("e", "a", Load(1, 1), (Sample(1.0, np.zeros(0), 3, "UNAVAILABLE: x"),), Served())
    (line,) = report.frame([failed]).to_dict("records")
    assert (line["errors"], line["error"]) == (3, "UNAVAILABLE: x")
    assert "–" in text(report.results_table([failed]))


def test_a_store_that_cannot_be_used_is_told_in_a_sentence(store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nosuch://place")
    with pytest.raises(UserError, match=r"the tracking store nosuch://place cannot be used: "):
        report.log(ROWS, [], {}, tmp_path)
