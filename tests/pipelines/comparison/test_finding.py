"""Finding runs by ID, its beginning, name, URI, experiment and tag."""

from __future__ import annotations

import mlflow
import pytest

from pipelines.comparison.finding import find, select
from pipelines.errors import UserError
from tests.pipelines.comparison import stored


def ids(runs) -> list[str]:
    return [run.info.run_id for run in runs]


def test_a_run_is_found_by_what_people_call_it(store):
    one, two = stored.log("it's one"), stored.log("two")
    client = mlflow.MlflowClient()
    client.create_registered_model("digits")
    client.create_model_version("digits", f"runs:/{two}/model", two)
    client.set_registered_model_alias("digits", "champion", "1")
    names = [one, one[:12], "it's one", f"runs:/{one}"]
    for name in names:
        assert ids(find([name, "two"])) == [one, two]
    for name in ("models:/digits@champion", "models:/digits/1"):
        assert ids(find([name])) == [two]
    with pytest.raises(UserError, match=f"^{one[:12]} and it's one are the same run$"):
        find([one[:12], "it's one"])


def test_what_is_no_run_is_one_sentence(store):
    one, other = stored.log("same"), stored.log("same")
    with pytest.raises(UserError, match=r"^2 runs are called 'same': [0-9a-f]{8}, [0-9a-f]{8}; "):
        find(["same"])
    for name in ("nothing", "abcdef"):
        with pytest.raises(UserError, match=f"^there is no run '{name}'; a run is an ID"):
            find([name])
    with pytest.raises(UserError, match=r"^there is no run runs:/0{32}$"):
        find(["runs:/" + 32 * "0"])
    with pytest.raises(UserError, match="there is no registered model nothing"):
        find(["models:/nothing@champion"])
    with pytest.raises(UserError, match=r"^models:/nothing leads to no run$|no registered model"):
        find(["models:/nothing"])
    mlflow.delete_run(one)
    assert ids(find(["same"])) == [other]
    with pytest.raises(UserError, match=f"^the run {one} is deleted$"):
        find([one])


def test_runs_are_selected_by_experiment_and_tag_the_newest_last(store):
    first = stored.log("first", tags={"team": "a"})
    second = stored.log("second", tags={"team": "b"})
    trial = stored.log("trial", tags={"team": "a", "mlflow.parentRunId": second})
    third = stored.log("third", tags={"team": "a"}, pipeline="forecasting")
    assert ids(select("image_classification", {}, 10)) == [first, second]
    assert ids(select("image_classification", {}, 1)) == [second]
    assert ids(select("", {"team": "a"}, 10)) == [first, third]
    assert ids(select("", {"mlflow.parentRunId": second}, 10)) == [trial]
    with pytest.raises(UserError, match=r"^there is no experiment 'forecasts'; .*forecasting"):
        select("forecasts", {}, 10)
    with pytest.raises(UserError, match=r"^experiment forecasting has no run with the tag team=b$"):
        select("forecasting", {"team": "b"}, 10)
