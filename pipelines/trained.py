"""What a run trained: its config and its network, read from the run's artifacts."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras
import mlflow

import architectures
from pipelines.cli import parse
from pipelines.config import Config
from pipelines.errors import UserError


@dataclass(frozen=True)
class Trained:
    """What a run of a pipeline trained.

    Attributes:
        uri: `runs:/ID`.
        pipeline: Name of the pipeline.
        config: The run's choices, with which its network is built again.
        model: From preprocessed inputs to logits, with the trained weights.
    """

    uri: str
    pipeline: str
    config: Config
    model: keras.Model


def read(run_id: str) -> Trained:
    """Returns what a run trained.

    Raises:
        MlflowException: The run has no config or no network, or the store cannot be read.
        OSError: A file cannot be read.
        UserError: The network cannot be loaded, or its pipeline is not known here.
    """
    uri, tags = f"runs:/{run_id}", mlflow.get_run(run_id).data.tags
    pipeline = tags.get("pipeline", "")
    with tempfile.TemporaryDirectory() as scratch:
        options, network = (
            mlflow.artifacts.download_artifacts(f"runs:/{run_id}/{path}", dst_path=scratch)
            for path in ("config.yaml", "network/model.keras")
        )
        _, config = parse([pipeline, "--config", options])
        try:
            model = architectures.load(Path(network))
        except ValueError as error:
            raise UserError(str(error)) from error
    return Trained(uri, pipeline, config.of_run(uri, tags), model)
