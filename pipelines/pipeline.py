"""The one road that every pipeline takes, from a choice to a registered model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines import export, registry, tracking, training, validation
from pipelines.baselines import Baseline
from pipelines.export import Signature
from pipelines.progress import stage
from pipelines.recipe import Augmentation, Config


class Data(Protocol):
    """A data set in three fixed splits of (input, target) examples, unbatched."""

    name: str
    version: str
    digest: str
    sizes: dict[str, int]
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset

    @property
    def example_bytes(self) -> int:
        """Size of one decoded input in memory."""


class Task(Protocol):
    """What is learned. Higher values of `metric` are better."""

    metric: str

    def load(self, config: Config) -> Any: ...
    def model(self, config: Config, data: Any) -> keras.Model: ...
    def loss(self) -> keras.Loss: ...
    def metrics(self) -> list[keras.Metric]: ...
    def preprocess(self, batch: tf.Tensor) -> tf.Tensor: ...
    def augment(self, augmentation: Augmentation, seed: int) -> keras.Layer: ...
    def baseline(self, data: Any) -> Baseline: ...
    def figures(self, model: keras.Model, data: Any) -> Iterator[tuple[str, Figure]]: ...
    def signatures(self, model: keras.Model, data: Any) -> list[Signature]: ...
    def examples(self, data: Any) -> dict[str, bytes]: ...


@dataclass(frozen=True)
class Result:
    """What a run made."""

    run: tracking.TrackedRun
    metrics: dict[str, float]
    baseline: Baseline
    version: registry.Version


def run(pipeline: str, task: Task, config: Config) -> Result:
    """Trains, proves and registers one model.

    Args:
        pipeline: Name of the pipeline; the MLflow experiment is called so.
        task: What is learned.
        config: The choices.

    Raises:
        UserError: A choice cannot work.
        ValidationError: The SavedModel does not do what the trained model does; nothing is
            registered.
    """
    with tracking.run(pipeline, config) as tracked:
        with stage("data"):
            data = task.load(config)
            tracked.data(data)
            model = training.build(task, data, config)
            tracked.model(model, device=training.device())
        with stage("baseline") as bar:
            baseline = task.baseline(data)
            bar.advance(f"{baseline.name}, validation {baseline.validation[task.metric]:.4f}")
        model = training.fit(task, model, data, config, tracked)
        metrics = training.evaluate(task, model, data, config.recipe.batch_size)
        tracked.results(metrics, baseline)
        with stage("figures"):
            for name, figure in task.figures(model, data):
                tracked.figure(name, figure)
        with tempfile.TemporaryDirectory() as scratch:
            signatures = task.signatures(model, data)
            with stage("export"):
                saved = export.saved_model(
                    model, signatures, Path(scratch, "saved_model"), examples=task.examples(data)
                )
            with stage("validate") as bar:
                report = validation.validate(saved, signatures)
                tracked.validation(report)
                bar.advance(f"{len(signatures)} signatures agree with the trained model")
            with stage("register") as bar:
                version = registry.register(
                    saved, config.name or data.name, task.metric, metrics, baseline, data.digest
                )
                bar.advance(f"{version.name} version {version.number}")
    return Result(tracked, metrics, baseline, version)
