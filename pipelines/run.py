"""The training pipeline, from a config to a registered model. Read this first."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
from matplotlib.figure import Figure

from pipelines import (
    distiller,
    evaluation,
    metric_names,
    model_registry,
    saved_view,
    seeds,
    store_errors,
    tracking,
    workers,
)
from pipelines.baselines import Baseline, scored, strongest
from pipelines.cards import card, page
from pipelines.cards.card import Facts
from pipelines.catalog import make_task
from pipelines.config import TEACHER, Config, check_name
from pipelines.datasets import checks
from pipelines.datasets.dataset import SPLITS, Dataset
from pipelines.export import measurement, reference, saved_model, validation
from pipelines.predictions import Scores
from pipelines.progress import show_table, stage
from pipelines.task import Network, Task
from pipelines.training import disk_cache, range_test, strategies, trainer
from pipelines.training.range_test import RangeTest


@dataclass(frozen=True)
class Result:
    """The result of a run.

    Attributes:
        run: The MLflow run.
        metric: The score that was compared on validation.
        metrics: Scores as `validation/NAME` and `test/NAME`; of several seeds, their means.
        intervals: 95 % intervals of test's scores by NAME.
        margins: 95 % intervals by NAME of test's scores less those of the baseline.
        baseline: The strongest on validation.
        version: The registered version.
        deviations: Standard deviations of `metrics` over seeds; none for a single one.
    """

    run: tracking.TrackedRun
    metric: str
    metrics: Scores
    intervals: dict[str, tuple[float, float]]
    margins: dict[str, tuple[float, float]]
    baseline: Baseline
    version: model_registry.Version
    deviations: Scores = field(default_factory=dict)


def run(pipeline: str, config: Config) -> Result:
    """Trains, evaluates, exports, validates and registers one model.

    Args:
        pipeline: Name of the pipeline, which is also that of the MLflow experiment.
        config: Data set, architecture and recipe.

    Raises:
        UserError: An option cannot be used, or the data set cannot be had.
        TrainingError: The loss became infinite or no number.
        ValidationError: The SavedModel does not compute what the trained model does; nothing is
            registered.
    """
    workers.connect(config)
    config = workers.share(config, config)
    with tracking.run(pipeline, config) as tracked, workers.together(config):
        with stage("data"):
            task, data = load(pipeline, config)
            workers.meet(config)
            found = checks.check(_with_note(data, config))
            tracked.data(data, found)
            network = trainer.build(task, data)
            tracked.model(network, device=strategies.device(config))
            if task.teacher:
                tracked.tags({TEACHER: task.teacher.uri})
        show_table(data.name, SPLITS, found.rows, found.notes)
        with stage("baseline") as bar:
            baselines = _baselines(task, data, tracked)
            baseline = strongest(baselines, task.metric, task.greater_is_better)
            tracked.strongest = baseline
            bar.advance(f"{baseline.name}, validation {baseline.validation[task.metric]:.4f}")
        if config.recipe.seeds == 1:
            network = trainer.fit(
                task, network, data, tracked, workers.shared(config, tracked.checkpoints)
            )
            evaluated = evaluation.evaluate(task, network.model, data)
        else:
            network, evaluated = seeds.train(pipeline, config, task, data, tracked)
        margins = evaluation.margins(evaluated, baseline)
        tracked.results(
            *(task.metric, evaluated.scores, evaluated.intervals.get(task.metric)),
            *(baseline, baselines, evaluated.deviations),
        )
        tracked.margin(task.metric, margins.get(task.metric))
        tracked.comparable(evaluation.comparable(task, data, evaluated))
        figures = _keep(task, network, data, evaluated, baselines, tracked)
        tracked.sent()  # What follows needs the store itself.
        facts = Facts(
            *(config.name or data.name, pipeline, tracked.id, task, data, found, network),
            *(evaluated, baselines, baseline, margins),
        )
        with store_errors.patient():
            version = _export_and_register(facts, figures, tracked)
        workers.meet(config)
    return Result(
        tracked,
        task.metric,
        evaluated.scores,
        evaluated.intervals,
        margins,
        baseline,
        version,
        evaluated.deviations,
    )


def find_learning_rate(pipeline: str, config: Config) -> tuple[tracking.TrackedRun, RangeTest]:
    """Runs a learning-rate range test on an untrained network; nothing is registered.

    Args:
        pipeline: Name of the pipeline, which is also that of the MLflow experiment.
        config: Data set, architecture and recipe.

    Raises:
        UserError: An option cannot be used, or the data set cannot be had.
        TrainingError: The loss falls at no learning rate.
    """
    with tracking.run(pipeline, config) as tracked:
        with stage("data"):
            task, data = load(pipeline, config)
            network = trainer.build(task, data)
            tracked.model(network, device=strategies.device(config))
        test = range_test.find(task, network, data)
        tracked.steps(test.metrics())
        tracked.figure("range_test", test.figure())
        tracked.tags({"range_test": f"suggests {test.option}"})
    return tracked, test


def load(pipeline: str, config: Config) -> tuple[Task, Dataset]:
    """Returns the task of a config, and its data set; a student's is its teacher's.

    Raises:
        UserError: An option cannot be used, or the data set cannot be had.
    """
    task = make_task(pipeline, config)
    data = (task.teacher.task if task.teacher else task).load()
    check_name(config.name or data.name)
    return task, disk_cache.kept(data, config)


def _keep(
    task: Task,
    network: Network,
    data: Dataset,
    evaluated: evaluation.Evaluation,
    baselines: list[Baseline],
    tracked: tracking.TrackedRun,
) -> dict[str, bytes]:
    """Logs the task's figures and artifacts, the network among them; returns figures as PNG."""
    figures, drawn = task.config.figures, dict[str, bytes]()
    milliseconds = distiller.latencies(task, network, data) if task.teacher else {}
    tracked.timings(milliseconds)
    with stage("figures" if figures else "network"), tempfile.TemporaryDirectory() as scratch:
        if figures:
            for name, figure in _figures(task, network, data, evaluated, baselines, milliseconds):
                drawn[name] = tracked.figure(name, figure)
        own = {
            "network": lambda folder: write_network(network.model, folder),
            "predictions": evaluated.test.write,
        }
        for name, write in {**own, **task.artifacts(network, data)}.items():
            write(Path(scratch, name))
            tracked.folder(Path(scratch, name))
    return drawn


def _export_and_register(
    facts: Facts, figures: Mapping[str, bytes], tracked: tracking.TrackedRun
) -> model_registry.Version:
    """Exports the network, validates the SavedModel, and registers it with its model card.

    The gate decides its alias.

    Raises:
        ValidationError: The SavedModel does not compute what the trained model does.
    """
    task, data, evaluated = facts.task, facts.data, facts.evaluated
    signatures = task.signatures(facts.network, data)
    with tempfile.TemporaryDirectory() as scratch:
        with stage("export"):
            folder = saved_model.saved_model(
                facts.network.model,
                signatures,
                Path(scratch, "saved_model"),
                examples=task.examples(data),
            )
        with stage("validate") as bar:
            report = validation.validate(folder, signatures, reference.of(task, data))
            tracked.validation(report)
            bar.advance(f"{len(signatures)} signatures agree with the trained model")
        documents = page.documents(
            facts,
            signatures,
            megabytes=measurement.megabytes(folder),
            milliseconds=report["milliseconds"],
            figures=figures,
        )
        summary, figure = card.summary(facts), _learning_curves(task, tracked)
        tracked.card(f"{summary}{figure}", documents)
        with stage("register") as bar:
            version = model_registry.register(
                folder,
                facts.name,
                task,
                evaluated.scores,
                facts.strongest.validation[task.metric],
                data.digest,
                resampled=evaluated.resampled,
                deviation=evaluated.deviations.get(metric_names.score("validation", task.metric)),
                seeds=task.config.recipe.seeds,
                tags={
                    "pipeline": facts.pipeline,
                    "dataset": data.name,
                    "architecture": task.config.architecture,
                },
                about=card.about(facts),
                description=f"{summary} Its card is card.md of its files.{figure}",
                documents=documents,
            )
            saved_view.save(tracked.experiment_id, task.metric)
            bar.advance(f"{version.name} version {version.number}")
    return version


def _learning_curves(task: Task, tracked: tracking.TrackedRun) -> str:
    """Returns a figure of the run for descriptions; MLflow's pages find it by a relative address.

    "" if there is none.
    """
    if not task.config.figures:
        return ""
    name = "learning_curves" if task.config.recipe.seeds == 1 else "seeds"
    file = f"get-artifact?path=figures%2F{name}.png&run_uuid={tracked.id}"
    return f"\n\n![{name.replace('_', ' ')}]({file})"


def _with_note(data: Dataset, config: Config) -> Dataset:
    """Returns the data set, which says so if it may be a part of what its name stands for."""
    if not config.max_examples:
        return data
    note = f"--max_examples {config.max_examples} takes a part of each split that is larger"
    return replace(data, notes=(*data.notes, note))


def write_network(model: keras.Model, folder: Path) -> None:
    """Writes a network, without the state of its training, as `folder`/model.keras."""
    folder.mkdir()
    network = type(model).from_config(model.get_config())
    network.set_weights(model.get_weights())
    network.save(folder / "model.keras")


def _baselines(task: Task, data: Dataset, parent: tracking.TrackedRun) -> list[Baseline]:
    """Returns the task's baselines; before them, a student trained without its teacher."""
    baselines = task.baselines(data)
    if not task.teacher:
        return baselines
    # The same inputs, the same number of epochs, but no teacher's outputs and no inherited layers.
    alone = type(task)(task.config, replace(task.teacher, alpha=0.0, inherit=False))
    with tracking.run(task.teacher.pipeline, task.config, parent=parent) as tracked:
        network = trainer.build(alone, data)
        network = trainer.fit(
            alone, network, data, tracked, workers.shared(task.config, tracked.checkpoints)
        )
        baseline = scored(
            distiller.WITHOUT_TEACHER,
            lambda predictions: alone.scores(predictions, data),
            lambda split: evaluation.predicted(alone, network.model, data, split),
            lambda predictions: alone.reduce(predictions, data),
        )
        tracked.scores(baseline)
    return [baseline, *baselines]


def _figures(
    task: Task,
    network: Network,
    data: Dataset,
    evaluated: evaluation.Evaluation,
    baselines: list[Baseline],
    milliseconds: Scores,
) -> Iterator[tuple[str, Figure]]:
    """Yields the task's figures; before them, a student compared with its teacher."""
    if teacher := task.teacher:
        yield (
            "teacher_and_student",
            distiller.comparison(
                task,
                teacher_scores=evaluation.score(teacher.task, teacher.model, data, "test"),
                student_scores=task.scores(evaluated.reduced, data),
                alone_scores=baselines[0].test,
                student=network.model,
                milliseconds=milliseconds,
            ),
        )
    yield from task.figures(network, data, evaluated.test, baselines)
