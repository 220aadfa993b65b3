"""The view of an experiment's runs, as MLflow's UI reads it."""

from __future__ import annotations

import json

import mlflow

from pipelines import saved_view

TAG = "mlflow.sharedViewState.scores"


def test_a_view_with_the_scores_is_saved_and_then_left_to_people(store):
    experiment = mlflow.get_experiment_by_name("image_classification")
    assert experiment
    number = experiment.experiment_id
    path = f"/#/experiments/{number}/runs?workflowType=machine_learning"
    assert saved_view.page(number, experiment.tags) == path

    saved_view.save(number, "accuracy")
    tags = mlflow.get_experiment(number).tags
    assert saved_view.page(number, tags) == f"{path}&viewStateShareKey=scores"
    view = json.loads(tags[TAG])
    assert view["name"] == "Scores"
    columns = json.loads(view["state"])["selectedColumns"]
    assert {"metrics.`test/accuracy`", "params.`optimizer.learning_rate`"} <= {*columns}

    mlflow.MlflowClient().set_experiment_tag(number, TAG, "changed")
    saved_view.save(number, "accuracy")
    assert mlflow.get_experiment(number).tags[TAG] == "changed"
