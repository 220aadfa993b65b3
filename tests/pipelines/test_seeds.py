"""Several seeds: their means count, and the median network stands for them."""

from __future__ import annotations

import statistics
from dataclasses import replace

import mlflow
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipelines import evaluation, metric_names, seeds
from pipelines import run as pipeline
from pipelines.evaluation import Evaluation
from pipelines.outcome import show
from pipelines.predictions import Predictions
from pipelines.recipe import Recipe
from pipelines.seeds import SeedRun, median, merged
from pipelines.testing import MemoryLog
from pipelines.training import trainer
from tests.pipelines import samples

RECIPE = Recipe(epochs=2, batch_size=4, seed=5, seeds=3)
CONFIG = samples.sequence_config(RECIPE)


def evaluated(value: float, resampled: list[float] | None = None) -> Evaluation:
    """An evaluation with the same value on validation, on test and on all resamples."""
    resampled = resampled or [value] * 4
    return Evaluation(
        {"validation/error": value, "test/error": value},
        {"error": (value, value)},
        Predictions({}, {}),
        Predictions({}, {}),
        resampled,
        [{"error": each} for each in resampled],
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.booleans())
def test_the_network_that_stands_for_all_is_the_median_and_never_the_better_of_two(values, greater):
    runs = [SeedRun(seed, evaluated(value), {}) for seed, value in enumerate(values)]
    chosen = median(runs, "error", greater).evaluated.scores["validation/error"]
    worse = statistics.median_low if greater else statistics.median_high
    assert chosen == worse(values)


def test_means_deviations_and_resamples_are_over_seeds():
    each = [evaluated(value, [value + step for step in (0.0, 0.1, 0.2)]) for value in (1, 2, 6)]
    found = merged(each, each[1])
    assert found.scores == {"validation/error": 3, "test/error": 3}
    assert found.deviations["test/error"] == pytest.approx(statistics.stdev([1, 2, 6]))
    assert found.test is each[1].test
    # Each resample is a mean of three drawn seeds, on the same examples.
    for values in (found.resampled, [sample["error"] for sample in found.resampled_test]):
        for step, value in zip((0.0, 0.1, 0.2), values, strict=True):
            sums = {
                one + two + three for one in (1, 2, 6) for two in (1, 2, 6) for three in (1, 2, 6)
            }
            assert round((value - step) * 3, 6) in sums


def test_seeds_that_agree_leave_the_interval_of_one_as_it_is():
    """And seeds that differ make it wider."""
    steps = np.random.default_rng(0).normal(size=200).tolist()
    same = merged([evaluated(0.5, steps)] * 3, evaluated(0.5, steps))
    low, high = evaluation.intervals_of([{"error": step} for step in steps])["error"]
    assert same.intervals["error"] == pytest.approx((low, high))
    apart = [evaluated(0.5, [step + shift for step in steps]) for shift in (-3, 0, 3)]
    wider_low, wider_high = merged(apart, apart[0]).intervals["error"]
    assert wider_low < low < high < wider_high


def test_a_run_of_several_seeds_registers_the_median_network_with_the_means(
    store, at_once, make_task, monkeypatch, capsys
):
    make_task(samples.Doubles)
    monkeypatch.setenv("COLUMNS", "200")
    result = pipeline.run("image_classification", CONFIG)
    parent = mlflow.get_run(result.run.id)
    children = [
        run
        for run in mlflow.search_runs(search_all_experiments=True, output_format="list")
        if run.data.tags.get("mlflow.parentRunId") == result.run.id
    ]
    names = {str(run.info.run_name) for run in children}
    assert {name.partition(", seed ")[0] for name in names} == {"gru on sequences"}
    assert {name.split(", ")[1] for name in names} == {f"seed {seed}" for seed in (5, 6, 7)}
    assert {run.info.status for run in children} == {"FINISHED"}

    for name in ("validation/error", "test/error", "test/largest"):
        values = [run.data.metrics[name] for run in children]
        assert len(set(values)) == 3
        assert parent.data.metrics[name] == result.metrics[name] == pytest.approx(np.mean(values))
        deviation = result.deviations[name]
        assert deviation == parent.data.metrics[metric_names.part(name, "deviation")]
        assert deviation == pytest.approx(statistics.stdev(values))

    # The run of a seed is the run that this seed has alone.
    alone = samples.Doubles(replace(CONFIG, recipe=replace(RECIPE, seed=6, seeds=1)))
    data = alone.load()
    network = trainer.fit(alone, trainer.build(alone, data), data, MemoryLog())
    (six,) = (run for run in children if run.data.params["seed"] == "6")
    scores = evaluation.evaluate(alone, network.model, data).scores
    assert {name: six.data.metrics[name] for name in scores} == scores

    # The registered network is the median one.
    ordered = sorted(children, key=lambda run: run.data.metrics["validation/error"])
    assert parent.data.tags["seed.registered"] == ordered[1].data.params["seed"]
    saved = tf.saved_model.load(result.version.saved_model)
    ((numbers, target, weight),) = data.validation.padded_batch(100)
    answers = saved.signatures["serving_default"](numbers=numbers)
    served = Predictions(
        {"target": target.numpy(), "weight": weight.numpy()},
        {"doubles": answers["doubles"].numpy()},
    )
    error = alone.scores(served, data)["error"]
    assert error == pytest.approx(ordered[1].data.metrics["validation/error"], rel=1e-5)

    deviation = result.deviations["validation/error"]
    mean = result.metrics["validation/error"]
    assert f"validation error {mean:.4f} ± {deviation:.4f} (mean of 3 seeds)" in (
        result.version.reason
    )
    shown = capsys.readouterr().out
    assert f"3 seeds: validation error {mean:.4f} ± {deviation:.4f}; the network of" in shown
    show(CONFIG, result)
    assert f"± {result.deviations['test/error']:.4f}" in capsys.readouterr().out
    figures = mlflow.artifacts.list_artifacts(f"{result.run.uri}/figures") or ()
    assert "figures/seeds.png" in {file.path for file in figures}


def test_a_figure_has_a_panel_for_each_score_and_one_for_the_curves():
    runs = [
        SeedRun(seed, evaluated(value), {"val_loss": [1.0, value]})
        for seed, value in enumerate((0.3, 0.5, 0.4))
    ]
    drawn = seeds.figure(runs, merged([run.evaluated for run in runs], runs[2].evaluated), 2)
    titles = [axes.get_title("left") for axes in drawn.axes if axes.axison]
    assert titles == ["validation loss (↓ lower is better)", "error"]
    assert len(drawn.axes[0].lines) == 3
