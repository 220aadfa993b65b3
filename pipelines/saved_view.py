"""The view of an experiment's runs in MLflow's UI: the columns of their table.

MLflow keeps what its menu "Views" saves as tags of the experiment, and opens one of them by an
address. Without it the table shows no score.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

import mlflow

from pipelines import metric_names

NAME = "Scores"
_KEY = "scores"
_TAG = f"mlflow.sharedViewState.{_KEY}"
_PARAMETERS = ("architecture", "dataset", "epochs", "optimizer.learning_rate", "seed")


def save(experiment_id: str, metric: str) -> None:
    """Saves the view of an experiment, unless it has one, which people may have changed.

    Args:
        experiment_id: The experiment.
        metric: The score that its runs are compared by.
    """
    if _TAG in mlflow.get_experiment(experiment_id).tags:
        return
    validation, test = (metric_names.score(split, metric) for split in ("validation", "test"))
    scores = [f"metrics.`{name}`" for name in (validation, test, metric_names.part(test, "margin"))]
    state = {
        "selectedColumns": [
            "attributes.`Models`",
            *scores,
            *(f"params.`{name}`" for name in _PARAMETERS),
        ],
    }
    now = int(time.time() * 1000)
    view = {"name": NAME, "createdAt": now, "updatedAt": now, "state": json.dumps(state)}
    mlflow.MlflowClient().set_experiment_tag(experiment_id, _TAG, json.dumps(view))


def page(experiment_id: str, tags: Mapping[str, str]) -> str:
    """Returns the path of the page of an experiment's runs, in the saved view if it has one.

    MLflow shows traces of language models first unless the path asks for training runs.
    """
    view = f"&viewStateShareKey={_KEY}" if _TAG in tags else ""
    return f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning{view}"
