"""A test kit for tasks: what each has to pass, from its data to a verified SavedModel.

A package that adds a pipeline tests its task on tiny data in a few seconds:

    from pipelines.testing import CHECKS, Trained, train

    @pytest.fixture(scope="module")
    def trained() -> Trained:
        return train(MyTask(MyConfig(dataset="tiny", architecture="mlp")))

    @pytest.mark.parametrize("check", CHECKS)
    def test_my_task(check, trained, tmp_path):
        check(trained, tmp_path)
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

import architectures
from drift.reference import read
from pipelines import evaluation
from pipelines.baselines import Baseline
from pipelines.datasets.dataset import SPLITS, Dataset
from pipelines.export import reference, saved_model, validation
from pipelines.predictions import Predictions, joined
from pipelines.run import write_network
from pipelines.task import Network, Task
from pipelines.training import trainer


@dataclass
class MemoryLog:
    """A log of training in memory.

    Attributes:
        epochs: Metrics of each epoch, the first one at 1.
        texts: What the network generated after each epoch.
        curves: Learning curves by name.
        values: Metrics of single steps of training.
        patterns: Names of patterns that a diagnosis recognized.
        files: The report and the table of a diagnosis by name.
        figures: Figures by name.
    """

    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    values: dict[int, dict[str, float]] = field(default_factory=dict)
    patterns: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.epochs[step] = dict(values)

    def samples(self, text: str, step: int) -> None:
        self.texts[step] = text

    def history(
        self,
        history: Mapping[str, Sequence[float]],
        *,
        kept: int | None = None,
        better: Mapping[str, bool] | None = None,
    ) -> None:
        self.curves = {name: list(values) for name, values in history.items()}

    def steps(self, values: Mapping[int, Mapping[str, float]]) -> None:
        self.values |= {step: dict(of_step) for step, of_step in values.items()}

    def diagnosis(self, patterns: Sequence[str], report: str, table: str) -> None:
        self.patterns = list(patterns)
        self.files = {"diagnosis.md": report, "values.csv": table}

    def figure(self, name: str, figure: Figure) -> None:
        self.figures[name] = figure


@dataclass(frozen=True)
class Trained:
    """A task with what training made of it; `train` returns it.

    Attributes:
        task: The task.
        data: What it loaded.
        network: The trained network.
        test: The network's predictions on the test split.
        baselines: The task's baselines.
        log: What training logged.
    """

    task: Task
    data: Dataset
    network: Network
    test: Predictions
    baselines: list[Baseline]
    log: MemoryLog


def train(task: Task) -> Trained:
    """Trains a task as its pipeline does, without an MLflow run."""
    data, log = task.load(), MemoryLog()
    network = trainer.fit(task, trainer.build(task, data), data, log)
    test = evaluation.predict(task, network.model, data, "test")
    return Trained(task, data, network, test, task.baselines(data), log)


def splits_have_examples_of_one_structure(trained: Trained, folder: Path) -> None:
    """Each split has the size that it states; validation and test have examples alike."""
    data = trained.data
    tf.nest.assert_same_structure(data.validation.element_spec, data.test.element_spec)
    for split in SPLITS:
        examples = data.split(split)
        count = sum(1 for _ in examples)
        assert count == data.sizes[split], f"{split} has {count} examples, not {data.sizes[split]}"
        for name, column in data.raw(split).items():
            assert len(column) == count, f"column {name} of {split} has {len(column)} rows"


def a_seed_decides_the_initial_weights(trained: Trained, folder: Path) -> None:
    one, two = (trainer.build(trained.task, trained.data).model for _ in range(2))
    for first, second in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def training_logs_finite_metrics(trained: Trained, folder: Path) -> None:
    assert list(trained.log.epochs) == list(range(1, len(trained.log.epochs) + 1))
    for values in trained.log.epochs.values():
        assert all(map(math.isfinite, values.values())), f"not all metrics are finite: {values}"


def scores_are_those_of_a_task_without_state(trained: Trained, folder: Path) -> None:
    """Another task with the same config predicts and scores the same; `metric` is a score."""
    other = type(trained.task)(trained.task.config, trained.task.teacher)
    test = evaluation.predict(other, trained.network.model, trained.data, "test")
    for name, column in trained.test.predicted.items():
        np.testing.assert_array_equal(test.predicted[name], column)
    scores = evaluation.scores_of(trained.task, trained.test, trained.data)
    np.testing.assert_equal(evaluation.scores_of(other, test, trained.data), scores)
    assert trained.task.metric in scores
    assert math.isfinite(scores[trained.task.metric])


def scores_do_not_depend_on_batches(trained: Trained, folder: Path) -> None:
    """What `reduce` leaves of an example does not depend on those beside it."""
    task, data, test = trained.task, trained.data, trained.test
    parts = np.split(np.arange(len(test)), [1])
    reduced = joined([task.reduce(test.take(part), data) for part in parts if len(part)])
    scores = evaluation.scores_of(task, test, data)
    for name, score in task.scores(reduced, data).items():
        np.testing.assert_allclose(score, scores[name], rtol=1e-5, atol=1e-8, err_msg=name)


def every_test_example_is_predicted(trained: Trained, folder: Path) -> None:
    assert len(trained.test) == trained.data.sizes["test"]
    for name, column in trained.test.predicted.items():
        assert len(column) == len(trained.test), f"{name} has {len(column)} predictions"


def baselines_have_the_scores_of_the_network(trained: Trained, folder: Path) -> None:
    """There is a baseline, and each has finite values of scores that the network has too."""
    names = evaluation.scores_of(trained.task, trained.test, trained.data).keys()
    assert trained.baselines, "the task has no baseline"
    for baseline in trained.baselines:
        for scores in (baseline.validation, baseline.test):
            assert math.isfinite(scores[trained.task.metric])
            assert scores.keys() <= names
        assert len(baseline.predictions) == trained.data.sizes["test"]


def figures_have_names_of_their_own(trained: Trained, folder: Path) -> None:
    """They are drawn of a sample of test here, as of a split that is large."""
    task, data, test = trained.task, trained.data, trained.test
    every = np.arange(len(test))
    numbered = replace(test, examples={**test.examples, "row": every})
    sample = numbered.take(every[every % 3 != 1])
    figures = list(task.figures(trained.network, data, sample, trained.baselines))
    names = [name for name, _ in figures]
    assert sorted(set(names)) == sorted(names)
    for name, figure in figures:
        figure.savefig(folder / f"{name}.png")
        assert (folder / f"{name}.png").stat().st_size > 0


def the_network_comes_back_from_a_file(trained: Trained, folder: Path) -> None:
    write_network(trained.network.model, folder / "network")
    file = folder / "network" / "model.keras"
    config = zipfile.ZipFile(file).read("config.json").decode()
    # `import architectures.custom_objects` is all that a network needs to be loaded.
    assert '"registered_name": "pipelines>' not in config
    loaded = architectures.load(file)
    (inputs, *_), *_ = trained.data.test.padded_batch(4).take(1)
    inputs = trained.task.preprocess(inputs)
    expected = trained.network.model(inputs, training=False)
    outputs = loaded(inputs, training=False)
    for one, two in zip(keras.tree.flatten(outputs), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)


def a_saved_model_answers_like_the_network(trained: Trained, folder: Path) -> None:
    """All signatures, `serving_default` first, agree with the network in a separate process.

    Those that have requests of validation get a reference of them.
    """
    signatures = trained.task.signatures(trained.network, trained.data)
    names = [signature.name for signature in signatures]
    assert names[0] == "serving_default"
    assert len(set(names)) == len(names)
    exported = saved_model.saved_model(
        trained.network.model,
        signatures,
        folder / "saved_model",
        examples=trained.task.examples(trained.data),
    )
    asked = reference.of(trained.task, trained.data)
    report = validation.validate(exported, signatures, asked)
    assert report["differences"].keys() == set(names)
    recorded = read(exported).profiles if asked.requests else {}
    assert recorded.keys() == asked.requests.keys() <= set(names)
    assert all(profile.numbers for profile in recorded.values())


CHECKS: tuple[Callable[[Trained, Path], None], ...] = (
    splits_have_examples_of_one_structure,
    a_seed_decides_the_initial_weights,
    training_logs_finite_metrics,
    every_test_example_is_predicted,
    scores_are_those_of_a_task_without_state,
    scores_do_not_depend_on_batches,
    baselines_have_the_scores_of_the_network,
    figures_have_names_of_their_own,
    the_network_comes_back_from_a_file,
    a_saved_model_answers_like_the_network,
)
