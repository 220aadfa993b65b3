"""Runs in a tracking store, as training leaves them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mlflow
import numpy as np

from pipelines import store

_COMMON = np.random.default_rng(0).normal(0.9, 0.03, 200)


def log(
    name: str,
    *,
    better: float = 0.0,
    digest: str = "0123456789ab",
    units: int = 100,
    pipeline: str = "image_classification",
    parameters: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    resamples: bool = True,
    status: str = "FINISHED",
    names: Mapping[str, str] | None = None,
) -> str:
    """Logs a run of three epochs whose accuracy is 0.9 + `better`, and returns its ID.

    `names` are other names for metrics.
    """
    uri = store.open_store()
    run = mlflow.start_run(
        experiment_id=store.experiment(pipeline, uri),
        run_name=name,
        tags={"pipeline": pipeline, **(tags or {})},
    )
    mlflow.log_params({"epochs": 3, "data.digest": digest, **(parameters or {})})
    for epoch in (1, 2, 3):
        values = {
            "train/loss": 2 / epoch,
            "train/val_loss": 2.5 / epoch - better,
            "train/val_accuracy": 0.3 * epoch,
            "train/learning_rate": 0.1,
        }
        mlflow.log_metrics(_renamed(values, names), step=epoch)
    accuracy = 0.9 + better
    values = {
        "validation/accuracy": accuracy,
        "test/accuracy": accuracy,
        "test/interval/accuracy_low": accuracy - 0.05,
        "test/interval/accuracy_high": accuracy + 0.05,
        "test/deviation/accuracy": 0.01,
        "test/baseline/accuracy": 0.5,
    }
    mlflow.log_metrics(_renamed(values, names))
    noise = np.random.default_rng(sum(name.encode())).normal(0, 0.002, 200)
    if resamples:
        record = {
            "metric": "accuracy",
            "greater_is_better": True,
            "digest": digest,
            "units": units,
            "scores": {"accuracy": (_COMMON + better + noise).tolist()},
        }
        mlflow.log_dict(record, store.COMPARABLE)
    if status != "RUNNING":
        mlflow.end_run(status)
    else:
        mlflow.tracking.fluent._active_run_stack.get().clear()
    return run.info.run_id


def _renamed(values: Mapping[str, float], names: Mapping[str, str] | None) -> dict[str, float]:
    return {(names or {}).get(name, name): value for name, value in values.items()}
