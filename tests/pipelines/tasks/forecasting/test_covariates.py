"""Covariates: from columns and times of an own table to the served graph."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipelines import testing
from pipelines.errors import UserError
from pipelines.evaluation import scores_of
from pipelines.recipe import Optimizer, Recipe
from pipelines.tasks.forecasting.data import load
from pipelines.tasks.forecasting.task import Forecasting
from pipelines.testing import CHECKS, Trained, train
from tests.pipelines.tasks.forecasting.examples import config

INPUTS = (
    testing.splits_have_examples_of_one_structure,
    testing.the_network_comes_back_from_a_file,
    testing.a_saved_model_answers_like_the_network,
)
KNOWN = {"covariates": "promotion,price", "calendar": "weekday"}


def table(folder: Path, **changes: dict[int, str]) -> Path:
    """Days whose units are high on promotions, which come at random, and low on Sundays."""
    random = np.random.default_rng(0)
    days = np.datetime64("2021-01-01") + np.arange(300)
    promotion = (random.random(300) < 0.2).astype(int)
    sunday = (days.astype(int) + 3) % 7 == 6
    columns: dict[str, list[str]] = {
        "day": days.astype(str).tolist(),
        "units": (20 + 9 * promotion - 6 * sunday + random.normal(0, 0.3, 300)).tolist(),
        "promotion": promotion.tolist(),
        "price": (3 + random.random(300)).round(2).tolist(),
    }
    for name, cells in changes.items():
        for row, cell in cells.items():
            columns[name][row] = cell
    path = folder / "sales.csv"
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join([",".join(columns), *rows]))
    return path


def own(path: Path, **options: Any) -> Any:
    recipe = Recipe(epochs=16, batch_size=16, optimizer=Optimizer(learning_rate=0.02))
    given = {"history": 7, "horizon": 5, "season": 7, "recipe": recipe, **KNOWN, **options}
    return replace(config(units=[8]), dataset=str(path), **given)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    return train(Forecasting(own(table(tmp_path_factory.mktemp("own")))))


@pytest.mark.parametrize(
    "check",
    [
        # Covariates are inputs, which the other checks do not see.
        pytest.param(check, marks=[] if check in INPUTS else pytest.mark.slow)
        for check in CHECKS
    ],
)
def test_the_task_passes_the_kit(check, trained, tmp_path, at_once):
    check(trained, tmp_path)


def test_promotions_that_are_known_in_advance_are_forecast(trained):
    mase = scores_of(trained.task, trained.test, trained.data)["mase"]
    by_name = {baseline.name: baseline.test["mase"] for baseline in trained.baselines}
    known = by_name.pop("linear autoregression")
    assert max(mase, known) < 0.5 * min(by_name.values())


def test_the_served_graph_needs_them_and_reads_them(trained):
    (signature,) = trained.task.signatures(trained.network, trained.data)
    shapes = {name: spec.shape.as_list() for name, spec in signature.inputs.items()}
    assert shapes == {"history": [None, 7], "covariates": [None, 12, 2], "times": [None, 12]}
    request = {name: tf.constant(x[:1]) for name, x in signature.examples.items()}
    before = signature.function(**request)["forecast"][0]
    np.testing.assert_allclose(before, signature.expected["forecast"][0], atol=signature.absolute)
    changed = signature.examples["covariates"][:1].copy()
    changed[0, 7 + 2, 0] = 1 - changed[0, 7 + 2, 0]
    after = signature.function(**{**request, "covariates": tf.constant(changed)})["forecast"][0]
    assert np.argmax(np.abs(after - before)) == 2
    short = ({name: request[name][:, 1:]} for name in ("covariates", "times"))
    for wrong in short:
        with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
            signature.function(**{**request, **wrong})


def test_the_example_has_what_a_request_needs(trained):
    window = json.loads(trained.task.examples(trained.data)["window.json"])
    assert window["times"][-1] == window["future_times"][-1] == "2021-10-27"
    assert len(window["times"]) == len(window["covariates"]) == 12
    assert len(window["history"]) == 7


def test_noise_on_histories_leaves_covariates_alone(trained):
    change = Forecasting(replace(trained.task.config, jitter=0.5)).augment(trained.data)
    assert change
    inputs = {"history": tf.zeros([2, 7]), "covariates": tf.ones([2, 12, 9])}
    changed, _ = change(inputs, tf.zeros([2, 5]), tf.constant([[0, 1], [0, 2]]))
    assert np.abs(changed["history"]).max() > 0
    np.testing.assert_array_equal(changed["covariates"], inputs["covariates"])


def test_other_covariates_are_other_data(tmp_path):
    digests = {load(own(table(tmp_path))).digest}
    digests.add(load(own(table(tmp_path, price={9: "3.99"}))).digest)
    digests.add(load(own(table(tmp_path), column="units", covariates="promotion")).digest)
    assert len(digests) == 3


def test_a_line_is_drawn_where_a_row_is_missing_and_rows_without_a_value_are_left_out(tmp_path):
    path = table(tmp_path, price={49: "3", 51: "4"}, units=dict.fromkeys(range(290, 300), ""))
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:51] + lines[52:]))
    (series,) = load(own(path, missing="interpolate")).series
    assert series.covariates.shape == (290, 2)
    assert series.covariates[50, 1] == pytest.approx(3.5)
    (series,) = load(own(path, missing="keep")).series
    assert series.covariates.shape == (289, 2)


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ({"covariates": "promo"}, {}, "sales.csv has no column 'promo'; it has: day, units"),
        ({"covariates": "units"}, {"units": {}}, "needs a column of numbers|numeric columns"),
        ({"covariates": "units", "column": "units"}, {}, "--covariates and --column are both"),
        ({}, {"price": {4: ""}}, r"line 6: 'price' is empty, and has to be known in advance"),
        ({}, {"price": {4: "x"}}, r"line 6: 'price' is no number \(with a decimal point\): 'x'"),
        (
            {},
            {"promotion": dict.fromkeys(range(300), "yes")},
            "covariate 'promotion' of .* is not numeric, as 'yes'; write classes as columns of 0",
        ),
        (
            {"calendar": "weekday", "covariates": "", "time": "price", "column": "units"},
            {"price": {row: str(row) for row in range(300)}},
            "--calendar weekday needs dates, and the times of .* are numbers, as 0",
        ),
    ],
)
def test_a_wrong_choice_is_one_sentence(tmp_path, options, changes, message):
    with pytest.raises(UserError, match=message):
        load(own(table(tmp_path, **changes), **options))


def test_what_no_calendar_has_is_told_before_anything_is_read():
    with pytest.raises(UserError, match=r"--calendar cannot be easter; there are: hour, weekday"):
        replace(config(), calendar="weekday,easter").check()


def test_bundled_sets_have_no_columns_but_a_calendar():
    births: dict[str, Any] = {"dataset": "births", "max_examples": 5, "history": 14, "horizon": 7}
    data = load(replace(config(), **births, calendar="weekday,us_holidays"))
    ((inputs, *_), *_) = data.train.take(1)
    assert inputs["covariates"].shape == (21, 18)
    with pytest.raises(UserError, match="--covariates is for your own files, not for 'births'"):
        load(replace(config(), **births, covariates="price"))


@pytest.mark.parametrize(
    ("chosen", "inputs"),
    [
        ({"covariates": "", "calendar": "weekday"}, {"history", "times"}),
        ({"covariates": "price", "calendar": "none"}, {"history", "covariates"}),
        ({"covariates": "", "calendar": "none"}, {"history"}),
    ],
)
def test_the_signature_has_the_inputs_of_what_is_known(chosen, inputs, tmp_path):
    task = Forecasting(own(table(tmp_path), column="units", **chosen))
    data = task.load()
    (signature,) = task.signatures(task.network(data), data)
    assert set(signature.inputs) == inputs
    served = tf.function(
        signature.function, input_signature=list(signature.inputs.values()), autograph=False
    )
    outputs = served(*(tf.constant(signature.examples[name][:3]) for name in signature.inputs))
    np.testing.assert_allclose(
        outputs["forecast"], signature.expected["forecast"][:3], atol=signature.absolute
    )
