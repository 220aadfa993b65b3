"""Exporting variants of what a run trained: what each costs in accuracy, and what it gains."""

from __future__ import annotations

import functools
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import mlflow
from mlflow.entities import Run

from pipelines import evaluation, metric_names, model_registry, store
from pipelines.catalog import check_trained_teacher
from pipelines.datasets.dataset import Dataset
from pipelines.errors import UserError, ValidationError
from pipelines.export import reference, saved_model, validation
from pipelines.export.measurement import Measurement, measure
from pipelines.export.ops import compiled
from pipelines.intervals import difference
from pipelines.progress import console, stage
from pipelines.run import load
from pipelines.task import Network, Task
from pipelines.trained import Trained, read
from pipelines.training import trainer
from pipelines.variants.variant import VARIANTS, Variant

TRAINED = "trained"


@dataclass(frozen=True)
class Outcome:
    """A variant, or the trained network as it is.

    Attributes:
        name: Name of the variant; "trained".
        metric: The task's metric.
        score: Its value on test; NaN if the network has no such variant.
        difference: The value less that of the trained network.
        interval: 95 % interval of the difference, by the paired bootstrap; None if there is none.
        measured: What the SavedModel costs to serve; None if there is none.
        refusal: Why the variant was not registered; "" if it was.
        version: The registered version; None if there is none.
    """

    name: str
    metric: str
    score: float
    difference: float = 0.0
    interval: tuple[float, float] | None = None
    measured: Measurement | None = None
    refusal: str = ""
    version: model_registry.Version | None = None

    def metrics(self) -> dict[str, float]:
        """Returns what is logged of it, beside all of its scores."""
        if math.isnan(self.score):
            return {}
        name = metric_names.part(metric_names.score("test", self.metric), "difference")
        values = {name: self.difference}
        if self.interval:
            values |= zip(metric_names.bounds(name), self.interval, strict=True)
        return values | (asdict(self.measured) if self.measured else {})


@dataclass(frozen=True)
class Source:
    """What variants are made of.

    Attributes:
        run: The run that trained the network.
        pipeline: Name of its pipeline.
        task: Its task.
        data: Its data set.
        network: The trained network.
        evaluated: The network's scores.
    """

    run: Run
    pipeline: str
    task: Task
    data: Dataset
    network: Network
    evaluated: evaluation.Evaluation


def export(run: Run, names: Sequence[str], max_loss: float) -> Iterator[Outcome]:
    """Yields the trained network, and then each variant, registered or refused.

    A variant is a run of its own within the one that trained the network.

    Args:
        run: The run that trained the network.
        names: Names of variants.
        max_loss: The fraction of the trained network's score on test that a variant may lose.

    Raises:
        UserError: The run has kept no network, or its data set cannot be had or has changed.
    """
    source = _source(run)
    task = source.task
    score = source.evaluated.scores[metric_names.score("test", task.metric)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, TRAINED)
        with stage("export"):
            signatures = task.signatures(source.network, source.data)
            saved_model.saved_model(source.network.model, signatures, folder)
        yield Outcome(TRAINED, task.metric, score, measured=measure(folder))
    for name in names:
        console.print(name)
        with mlflow.start_run(
            experiment_id=run.info.experiment_id,
            run_name=f"{run.info.run_name}, {name}",
            parent_run_id=run.info.run_id,
            tags={"pipeline": source.pipeline, "variant": name, **store.process_tags()},
        ):
            mlflow.log_params({"variant": name, "max_loss": max_loss, "data.digest": _digest(run)})
            outcome = _exported(source, name, max_loss)
            mlflow.log_metrics(outcome.metrics())
            if outcome.refusal:
                mlflow.set_tag("failure", outcome.refusal)
                mlflow.end_run("FAILED")
        yield outcome


def _source(run: Run) -> Source:
    trained = _trained(run)
    check_trained_teacher(trained.config)
    with stage("data"):
        task, data = load(trained.pipeline, trained.config)
        if data.digest != _digest(run):
            raise UserError(
                f"the data set {data.name} has changed since run {run.info.run_id} was made: its "
                f"digest is {data.digest}, not {_digest(run)}"
            )
        network = trainer.untrained(task, data)
        network.model.set_weights(trained.model.get_weights())
    evaluated = evaluation.evaluate(task, network.model, data)
    return Source(run, trained.pipeline, task, data, network, evaluated)


def _trained(run: Run) -> Trained:
    number = run.info.run_id
    if run.info.status != "FINISHED" or not run.data.tags.get("baseline"):
        raise UserError(f"run {number} has not trained a network to its end")
    try:
        return read(number)
    except (mlflow.MlflowException, OSError) as error:
        raise UserError(f"run {number} has not kept its network") from error


def _digest(run: Run) -> str:
    return run.data.params["data.digest"]


def _exported(source: Source, name: str, max_loss: float) -> Outcome:
    """Builds, evaluates, exports, validates, measures and registers a variant in the active run."""
    task, data, base = source.task, source.data, source.evaluated
    metric = task.metric
    build = functools.partial(trainer.untrained, task, data)
    try:
        variant = VARIANTS[name](build, source.network.model.get_weights())
    except ValidationError as error:
        return Outcome(name, metric, math.nan, math.nan, refusal=str(error))
    evaluated = evaluation.evaluate(task, variant.network.model, data)
    mlflow.log_metrics(evaluated.scores)
    own = metric_names.score("test", metric)
    score, trained = (each.scores[own] for each in (evaluated, base))
    samples = [[each[metric] for each in one.resampled_test] for one in (evaluated, base)]
    outcome = functools.partial(Outcome, name, metric, score, score - trained, difference(*samples))
    loss = (trained - score) * (1 if task.greater_is_better else -1)
    if not loss <= max_loss * abs(trained):
        return outcome(
            refusal=f"test {metric} {score:.4f} is worse than the trained network's {trained:.4f} "
            f"by more than --max_loss {max_loss:g} of it"
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, name)
        try:
            measured = _write(source, variant, folder)
        except ValidationError as error:
            return outcome(refusal=str(error))
        if name == "xla" and not compiled(folder):
            return outcome(
                refusal="no signature calls the network as a whole, so that XLA could compile it"
            )
        with stage("register") as bar:
            version = _register(source, name, evaluated, folder)
            bar.advance(f"{version.name} version {version.number}")
    return outcome(measured=measured, version=version)


def _write(source: Source, variant: Variant, folder: Path) -> Measurement:
    """Writes the SavedModel of a variant, validates it, and measures it.

    Raises:
        ValidationError: It does not compute what the variant does.
    """
    task, data = source.task, source.data
    with stage("export"), variant.within():
        signatures = task.signatures(variant.network, data)
        saved_model.saved_model(
            None if variant.frozen else variant.network.model,
            signatures,
            folder,
            examples=task.examples(data),
        )
    with stage("validate") as bar:
        report = validation.validate(folder, signatures, reference.of(task, data))
        mlflow.log_text(json.dumps(report, indent=2), "validation.json")
        bar.advance(f"{len(signatures)} signatures agree with the network")
    with stage("measure"):
        return measure(folder)


def _register(
    source: Source, name: str, evaluated: evaluation.Evaluation, folder: Path
) -> model_registry.Version:
    """Registers a variant as a version of the trained model; the gate decides its alias."""
    task, data, run = source.task, source.data, source.run
    own = metric_names.score("validation", task.metric)
    return model_registry.register(
        folder,
        task.config.name or data.name,
        task,
        evaluated.scores,
        metric_names.read(run.data.metrics)[metric_names.part(own, "baseline")],
        data.digest,
        resampled=evaluated.resampled,
        tags={"variant": name},
        description=f"`{name}` variant of the network of run {run.info.run_id}.",
    )
