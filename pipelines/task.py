"""The contract of a task, from its data set to the served signatures."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines.baselines import Baseline
from pipelines.config import Config
from pipelines.datasets.dataset import Dataset
from pipelines.export.signature import Signature
from pipelines.predictions import Predictions, Scores

ConfigT = TypeVar("ConfigT", bound=Config)
DataT = TypeVar("DataT", bound=Dataset)

# From a batch of preprocessed inputs, of targets, and of seeds, int32 [batch, 2], one for each
# example and epoch, to changed inputs and targets; the same ones for the same seeds.
Augment = Callable[[Any, Any, tf.Tensor], tuple[Any, Any]]


@dataclass(frozen=True)
class Network:
    """A network and those of its parts that are used by themselves.

    Attributes:
        model: From preprocessed inputs to logits: what is trained, evaluated and exported.
        parts: Networks that share their layers with `model`, by name, as "encoder".
        hyperparameters: Those that its architecture was built with, defaults included, by name.
    """

    model: keras.Model
    parts: Mapping[str, keras.Model] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Teacher:
    """A trained network that a student learns from (Hinton, Vinyals & Dean 2015).

    Attributes:
        uri: `runs:/ID` of the run that trained it.
        pipeline: Name of its pipeline.
        task: Its task; the student's data set is what this one loads.
        model: From preprocessed inputs to logits, with the trained weights.
        temperature: What logits are divided by.
        alpha: Weight of the distillation loss; 1 - alpha is that of the task's own loss.
        inherit: Whether a student of BERT's family is initialized from the teacher's layers.
    """

    uri: str
    pipeline: str
    task: Task
    model: keras.Model
    temperature: float
    alpha: float
    inherit: bool


@dataclass(frozen=True)
class ByClass:
    """A score of each class.

    Attributes:
        score: Its name, as "recall".
        counted: What is counted, as "images".
        classes: By the name of a class, its score and how many there are of it; no class has 0.
    """

    score: str
    counted: str
    classes: Mapping[str, tuple[float, int]]

    def lowest(self, most: int) -> dict[str, tuple[float, int]]:
        """Returns at most that many classes, the one with the lowest score first."""
        return dict(sorted(self.classes.items(), key=lambda entry: entry[1][0])[:most])


class Task(abc.ABC, Generic[ConfigT, DataT]):
    """A task that a pipeline trains a network for.

    A task holds its config and nothing else: what it learns from data is in what `load` returns,
    so methods can be called in any order, each with the values that it needs.

    Attributes:
        config: The config of the run.
        teacher: A trained network to learn from as well; None to learn from targets alone.
        metric: The score that is compared on validation.
        greater_is_better: Whether a higher score of it is better.
    """

    metric: str
    greater_is_better: bool = True

    def __init__(self, config: ConfigT, teacher: Teacher | None = None) -> None:
        self.config, self.teacher = config, teacher

    @abc.abstractmethod
    def load(self) -> DataT:
        """Returns the data set, with what is learned from it, as a vocabulary.

        Raises:
            UserError: An option cannot be used, or the data set cannot be had.
        """

    @abc.abstractmethod
    def network(self, data: DataT) -> Network:
        """Returns an untrained network from preprocessed inputs to logits.

        Raises:
            UserError: The architecture is for another task, or a hyperparameter cannot be chosen.
        """

    @abc.abstractmethod
    def loss(self, data: DataT) -> Any:
        """Returns the loss as `keras.Model.compile` takes it."""

    def metrics(self, data: DataT) -> Any:
        """Returns the metrics to log in training, as `keras.Model.compile` takes them."""
        return []

    def preprocess(self, inputs: Any) -> Any:
        """Turns a batch of inputs into what the network reads; training and serving call it."""
        return inputs

    def augment(self, data: DataT) -> Augment | None:
        """Returns random changes of training batches, or none."""
        return None

    def sampler(self, network: Network, data: DataT) -> Callable[[], str] | None:
        """Returns a function that generates text for people to read after each epoch, or none."""
        return None

    @abc.abstractmethod
    def postprocess(self, outputs: Any, data: DataT) -> dict[str, tf.Tensor]:
        """Turns a batch of the network's outputs into predictions; training and serving call it."""

    def predict_batch(
        self, model: keras.Model, inputs: Any, target: Any, data: DataT
    ) -> dict[str, tf.Tensor]:
        """Returns what `scores` needs of a batch of the data set; by default, the predictions.

        Outputs that are decoded step by step, or are large without the target, are computed here.
        """
        return self.postprocess(model(self.preprocess(inputs), training=False), data)

    def reduce(self, predictions: Predictions, data: DataT) -> Predictions:
        """Returns what `scores` needs of predictions, of a batch or more; by default, all of them.

        That is what an evaluation holds in memory of a whole split. Where scores are functions of
        sums over examples, `predictions.reduced({name: numbers of each example})` leaves these
        numbers alone, and intervals cost a matrix product.
        """
        return predictions

    @abc.abstractmethod
    def scores(self, predictions: Predictions, data: DataT) -> Scores:
        """Returns the scores by name, `metric` among them, of what `reduce` returned.

        Of statistics it uses the sums alone, `predictions.total(name)`.
        """

    @abc.abstractmethod
    def baselines(self, data: DataT) -> list[Baseline]:
        """Returns the baselines that the network has to beat, at least one."""

    @abc.abstractmethod
    def figures(
        self, network: Network, data: DataT, test: Predictions, baselines: Sequence[Baseline]
    ) -> Iterator[tuple[str, Figure]]:
        """Yields figures by name.

        Args:
            network: The trained network.
            data: The data set.
            test: The network's predictions on the test split, as `predict_batch` returns them; of
                a split that does not fit in 64 MiB, a sample, where `test.rows` are the numbers of
                its examples.
            baselines: What `baselines` returned.
        """

    def by_class(self, test: Predictions, data: DataT) -> ByClass | None:
        """Returns a score of each class on test, for the model card; None where there are none.

        Args:
            test: As in `figures`.
            data: The data set.
        """
        return None

    @abc.abstractmethod
    def signatures(self, network: Network, data: DataT) -> list[Signature]:
        """Returns the signatures of the SavedModel, `serving_default` first."""

    def requests(
        self, data: DataT, split: str, count: int
    ) -> Mapping[str, Mapping[str, np.ndarray]]:
        """Returns what clients would send of a split: by signature and input, arrays [examples, …].

        The export records what validation is like, to which later requests are compared. By
        default there are none, and nothing is recorded.

        Args:
            data: The data set.
            split: The split, from all over which the examples are.
            count: How many examples at most.
        """
        return {}

    def examples(self, data: DataT) -> Mapping[str, bytes]:
        """Returns files to try a served model with, by relative path."""
        return {}

    def artifacts(self, network: Network, data: DataT) -> Mapping[str, Callable[[Path], None]]:
        """Returns other artifacts of the run: by the folder's name, a function that writes it."""
        return {}
