"""From a file of your own to a server that forecasts it."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest

from pipelines.__main__ import main
from serving.client import Client
from serving.errors import ServingError
from serving.server.lifecycle.version_policy import Model
from tests.end_to_end.deploying import ask_as_the_card_says, deploy
from tests.serving.in_process import serving

SMALL = (
    *("--epochs", "20", "--model.units", "[8]", "--history", "24", "--horizon", "6"),
    *("--figures", "false"),
)


@pytest.fixture
def sales(workplace) -> Path:
    """Twenty years of months with a season, a trend and a little noise."""
    months = np.arange(240)
    random = np.random.default_rng(0)
    values = 200 + months + 40 * np.sin(months * np.pi / 6) + random.normal(0, 3, 240)
    path = workplace / "sales.csv"
    start = np.datetime64("2000-01", "M")
    rows = [f"{start + month},{value:.2f}" for month, value in zip(months, values, strict=True)]
    path.write_text("\n".join(["month,sales", *rows]))
    return path


def test_a_served_model_forecasts_a_file_as_the_registered_one_does(
    sales, store, workplace, at_once
):
    drifting = ("--season", "12", "--scaling", "window")
    assert main(["forecasting", "--dataset", str(sales), *drifting, *SMALL]) == 0
    (run,) = mlflow.search_runs(experiment_names=["forecasting"], output_format="list")
    assert run.info.status == "FINISHED"
    assert (run.data.params["dataset"], run.data.params["horizon"]) == (str(sales), "6")
    assert {"test/mase", "test/baseline/mase", "test/interval/mase_low"} <= set(run.data.metrics)
    assert mlflow.MlflowClient().get_model_version("sales", "1").run_id == run.info.run_id
    deployed = deploy("sales", workplace / "models", version=1)
    window = json.loads((deployed.path / "assets.extra/examples/window.json").read_text())
    # Six months behind the end of the file, which no split holds.
    natural = np.loadtxt(sales, delimiter=",", skiprows=1, usecols=1)[-24:]
    history = np.array([window["history"], natural])

    model = Model("sales", workplace / "models" / "sales")
    with serving(model) as address, Client(address, timeout=300) as client:
        ask_as_the_card_says("sales", address, workplace / "models")
        client.wait_until_ready("sales", timeout=300)
        answer = client.predict("sales", {"history": history})
        with pytest.raises(ServingError, match="INVALID_ARGUMENT"):
            client.predict("sales", {"history": history[:, 1:]})

    registered = mlflow.pyfunc.load_model("models:/sales/1").predict({"history": history})
    assert answer.keys() == registered.keys() == {"forecast", "quantiles", "levels"}
    for name, value in answer.items():
        np.testing.assert_allclose(value, registered[name], rtol=1e-5)
    assert answer["quantiles"].shape == (2, 6, 5)
    np.testing.assert_allclose(answer["levels"], [[0.05, 0.25, 0.5, 0.75, 0.95]] * 2)
    np.testing.assert_array_equal(answer["forecast"], answer["quantiles"][..., 2])
    assert np.all(np.diff(answer["quantiles"], axis=-1) >= 0)

    # It has learned the season: better than to repeat the last month, in the unit of the file.
    future = np.array(window["future"])
    own, naive = np.abs(answer["forecast"][0] - future), np.abs(history[0, -1] - future)
    assert own.mean() < naive.mean()


def test_a_column_that_is_not_there_is_told_in_one_sentence(sales, store, capsys):
    assert main(["forecasting", "--dataset", str(sales), "--column", "sale", *SMALL]) == 2
    assert capsys.readouterr().err == (
        f"error: {sales} has no column 'sale'; it has: month, sales\n"
    )
