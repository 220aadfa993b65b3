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
) -> str:
    """Logs a run of three epochs whose accuracy is 0.9 + `better`, and returns its ID."""
    uri = store.open_store()
    run = mlflow.start_run(
        experiment_id=store.experiment(pipeline, uri),
        run_name=name,
        tags={"pipeline": pipeline, **(tags or {})},
    )
    mlflow.log_params({"epochs": 3, "data.digest": digest, **(parameters or {})})
    for epoch in (1, 2, 3):
        mlflow.log_metrics(
            {
                "train_loss": 2 / epoch,
                "val_loss": 2.5 / epoch - better,
                "val_accuracy": 0.3 * epoch,
            },
            step=epoch,
        )
    accuracy = 0.9 + better
    mlflow.log_metrics(
        {
            "validation_accuracy": accuracy,
            "test_accuracy": accuracy,
            "test_accuracy_low": accuracy - 0.05,
            "test_accuracy_high": accuracy + 0.05,
            "baseline_test_accuracy": 0.5,
        }
    )
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
