"""The one road that every pipeline takes, from a choice to a registered model."""

from __future__ import annotations

import abc
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines import model_registry, tracking, training
from pipelines.baselines import Baseline, strongest
from pipelines.config import Config
from pipelines.evaluation import Predictions, Scores
from pipelines.export import saved_model, validation
from pipelines.export.saved_model import Signature
from pipelines.progress import stage


class Data(Protocol):
    """A data set in three fixed splits of examples, unbatched.

    An example is (input, target) or (input, target, weight), as Keras' `fit` takes them in
    batches. Where a dimension is unknown, batches are padded with zeros.
    """

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def sizes(self) -> dict[str, int]: ...
    @property
    def train(self) -> tf.data.Dataset: ...
    @property
    def validation(self) -> tf.data.Dataset: ...
    @property
    def test(self) -> tf.data.Dataset: ...

    @property
    def example_bytes(self) -> int | None:
        """Size of one input in memory, roughly; None where every pass draws other examples."""

    def raw(self, split: str) -> dict[str, np.ndarray]:
        """Columns [examples, ...] of a split that scores and figures need and the network not."""


class Task(abc.ABC):
    """What is learned.

    Attributes:
        metric: The score that is compared on validation.
        greater_is_better: Whether a higher score of it is better.
    """

    metric: str
    greater_is_better = True

    @abc.abstractmethod
    def load(self, config: Any) -> Any:
        """Returns the data set that was chosen, a `Data`."""

    @abc.abstractmethod
    def model(self, config: Any, data: Any) -> keras.Model:
        """Returns an untrained network from preprocessed inputs to logits."""

    def learner(self, model: keras.Model) -> keras.Model:
        """Returns what is fitted, compiled: the network itself, or a model that teaches it."""
        return model

    @abc.abstractmethod
    def loss(self) -> Any:
        """Returns the loss as `keras.Model.compile` takes it."""

    def metrics(self) -> Any:
        """Returns the metrics to follow in training, as `keras.Model.compile` takes them."""
        return []

    def preprocess(self, inputs: Any) -> Any:
        """Turns a batch of inputs into what the network reads; training and serving call it."""
        return inputs

    def augment(self, config: Any) -> Callable[[Any, Any], tuple[Any, Any]] | None:
        """Returns random changes of batches of (preprocessed inputs, target), or none."""
        return None

    def samples(self, model: keras.Model, data: Any) -> str:
        """Returns what the model writes after an epoch, for people to read."""
        return ""

    @abc.abstractmethod
    def answers(self, outputs: Any) -> dict[str, tf.Tensor]:
        """Turns the network's outputs for a batch into answers; training and serving call it."""

    def assessed(self, model: keras.Model, inputs: Any, target: Any) -> dict[str, tf.Tensor]:
        """Returns what `scores` needs of a batch as the data set has it; by default, the answers.

        What is sought step by step, or would be large without the target, is worked out here.
        """
        return self.answers(model(self.preprocess(inputs), training=False))

    @abc.abstractmethod
    def scores(self, predictions: Predictions) -> Scores:
        """Returns the scores of predictions by name, `metric` among them."""

    @abc.abstractmethod
    def baselines(self, data: Any) -> list[Baseline]:
        """Returns what the network has to beat, at least one."""

    @abc.abstractmethod
    def figures(
        self, model: keras.Model, data: Any, test: Predictions
    ) -> Iterator[tuple[str, Figure]]:
        """Yields pictures by name."""

    @abc.abstractmethod
    def signatures(self, model: keras.Model, data: Any) -> list[Signature]:
        """Returns the entries of the SavedModel, `serving_default` first."""

    def examples(self, data: Any) -> Mapping[str, bytes]:
        """Returns files to try a served model with, by relative path."""
        return {}

    def artifacts(self, model: keras.Model, data: Any) -> Mapping[str, Callable[[Path], None]]:
        """Returns what else the run keeps: by the folder's name, a function that writes it."""
        return {}


@dataclass(frozen=True)
class Result:
    """What a run made.

    Attributes:
        run: The MLflow run.
        metric: The score that was compared on validation.
        metrics: Scores as `validation_NAME` and `test_NAME`.
        intervals: 95 % intervals of test's scores by NAME.
        baseline: The strongest on validation.
        version: The registered version.
    """

    run: tracking.TrackedRun
    metric: str
    metrics: Scores
    intervals: dict[str, tuple[float, float]]
    baseline: Baseline
    version: model_registry.Version


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
    with tracking.run(pipeline, config) as tracked, tempfile.TemporaryDirectory() as scratch:
        with stage("data"):
            data = task.load(config)
            tracked.data(data)
            model = training.build(task, data, config)
            tracked.model(model, device=training.device())
        with stage("baseline") as bar:
            baselines = task.baselines(data)
            baseline = strongest(baselines, task.metric, task.greater_is_better)
            bar.advance(f"{baseline.name}, validation {baseline.validation[task.metric]:.4f}")
        model = training.fit(task, model, data, config, tracked)
        metrics, intervals, test = training.evaluate(task, model, data, config.recipe)
        tracked.results(metrics, intervals, baseline, baselines)
        with stage("figures"):
            for name, figure in task.figures(model, data, test):
                tracked.figure(name, figure)
            network = {"network": lambda folder: write_network(model, folder)}
            for name, write in {**network, **task.artifacts(model, data)}.items():
                write(Path(scratch, name))
                tracked.folder(Path(scratch, name))
        signatures = task.signatures(model, data)
        with stage("export"):
            saved = saved_model.saved_model(
                model, signatures, Path(scratch, "saved_model"), examples=task.examples(data)
            )
        with stage("validate") as bar:
            report = validation.validate(saved, signatures)
            tracked.validation(report)
            bar.advance(f"{len(signatures)} signatures agree with the trained model")
        with stage("register") as bar:
            version = model_registry.register(
                saved, config.name or data.name, task, metrics, baseline, data.digest
            )
            bar.advance(f"{version.name} version {version.number}")
    return Result(tracked, task.metric, metrics, intervals, baseline, version)


def write_network(model: keras.Model, folder: Path) -> None:
    """Writes the network, without the state of its training, as `folder`/model.keras."""
    folder.mkdir()
    network = type(model).from_config(model.get_config())
    network.set_weights(model.get_weights())
    network.save(folder / "model.keras")
