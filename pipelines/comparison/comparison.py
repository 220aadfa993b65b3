"""What runs have in common and where they differ, from what the tracking store has of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow.entities import Run

from pipelines import metric_names
from pipelines.intervals import difference, interval
from pipelines.store import COMPARABLE

# Tags that say with which code a run was made.
_TAGS = ("code.commit", "code.changed")


@dataclass(frozen=True)
class ComparedRun:
    """What the tracking store has of a run.

    Attributes:
        label: Its number in the comparison, from 1.
        id: Its ID.
        name: Its name.
        pipeline: The pipeline that it is of, "" for a run of something else.
        status: FINISHED, RUNNING, FAILED or KILLED.
        seconds: How long it took; None for a run that goes on.
        started: When it started, in milliseconds since 1970.
        parameters: Its parameters by name.
        scores: Its scores by name, as `test/accuracy`.
        intervals: 95 % intervals of scores by name.
        deviations: Standard deviations of scores over seeds by name, where they are means.
        curves: By Keras' name of a metric of training, as `val_loss`, its epochs and their values.
        resamples: What `evaluation.comparable` returned; empty for a run that kept nothing.
    """

    label: str
    id: str
    name: str
    pipeline: str
    status: str
    seconds: float | None
    started: int
    parameters: Mapping[str, str]
    scores: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    deviations: Mapping[str, float]
    curves: Mapping[str, tuple[Sequence[int], Sequence[float]]]
    resamples: Mapping[str, Any]

    @property
    def title(self) -> str:
        return f"{self.label} {self.name}"


@dataclass(frozen=True)
class Difference:
    """The difference of two runs' scores on test.

    Attributes:
        run: The label of one run.
        reference: That of the run whose score is subtracted.
        name: The score's name, as `accuracy`.
        value: The one run's score less the other's.
        interval: The 95 % interval of the difference, by the paired bootstrap.
        greater_is_better: Whether more of the score is better; None where no run says so.
    """

    run: str
    reference: str
    name: str
    value: float
    interval: tuple[float, float]
    greater_is_better: bool | None

    @property
    def verdict(self) -> str:
        """What the interval says: it lies above 0, below, or around it."""
        low, high = self.interval
        if low <= 0 <= high:
            return "no clear difference"
        if self.greater_is_better is None:
            return "higher" if low > 0 else "lower"
        return "better" if (low > 0) == self.greater_is_better else "worse"


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        runs: The runs; the first is the one that the others are compared with.
        parameters: For each parameter that differs, its value in each run, None where it has none.
        scores: For each score, its value in each run, None where it has none.
        differences: Differences of the others from the first run.
        notes: What else is worth knowing, in sentences.
    """

    runs: Sequence[ComparedRun]
    parameters: Mapping[str, Sequence[str | None]]
    scores: Mapping[str, Sequence[float | None]]
    differences: Sequence[Difference]
    notes: Sequence[str]

    @property
    def metric(self) -> str | None:
        """The score that the runs' pipelines compare, where it is the same one."""
        found = {run.resamples["metric"] for run in self.runs if run.resamples}
        return found.pop() if len(found) == 1 else None


def read(run: Run, label: str) -> ComparedRun:
    """Returns what the tracking store has of a run."""
    info, data = run.info, run.data
    metrics = metric_names.read(data.metrics)
    names = [
        metric_names.score(split, name)
        for split in ("validation", "test")
        for name in metric_names.scores(split, metrics)
    ]
    ends = {name: metric_names.bounds(metric_names.part(name, "interval")) for name in names}
    resamples = _resamples(info.run_id)
    intervals = {
        metric_names.score("test", name): found
        for name, values in resamples.get("scores", {}).items()
        if (found := interval(values))
    } | {
        name: (metrics[low], metrics[high])
        for name, (low, high) in ends.items()
        if low in metrics and high in metrics
    }
    deviations = {
        name: metrics[deviation]
        for name in names
        if (deviation := metric_names.part(name, "deviation")) in metrics
    }
    tags = {name: data.tags[name] for name in _TAGS if name in data.tags}
    return ComparedRun(
        label=label,
        id=info.run_id,
        name=info.run_name or info.run_id[:8],
        pipeline=data.tags.get("pipeline", ""),
        status=info.status,
        seconds=(info.end_time - info.start_time) / 1000 if info.end_time else None,
        started=info.start_time,
        parameters={**data.params, **tags},
        scores={name: metrics[name] for name in names},
        intervals=intervals,
        deviations=deviations,
        curves=_curves(run),
        resamples=resamples,
    )


def compare(runs: Sequence[ComparedRun]) -> Comparison:
    """Compares runs with the first of them."""
    parameters = {
        name: [run.parameters.get(name) for run in runs]
        for name in _union([run.parameters for run in runs])
        if len({run.parameters.get(name) for run in runs}) > 1
    }
    # Of a score, test before validation, and the scores of the first run first.
    names = sorted(_union([run.scores for run in runs]), key=lambda name: name.split("/")[0])
    scores = {name: [run.scores.get(name) for run in runs] for name in names}
    differences, notes = [], _notes(runs)
    reference, *others = runs
    if not reference.resamples:
        notes.append(
            f"no differences from run {reference.title}, which has not kept its scores on "
            "resamples of test"
        )
        others = []
    for run in others:
        reason = _incomparable(run, reference)
        if reason:
            notes.append(reason)
        else:
            differences += _differences(run, reference)
    return Comparison(runs, parameters, scores, differences, notes)


def _notes(runs: Sequence[ComparedRun]) -> list[str]:
    notes = [
        f"run {run.title} is {run.status}: what it has logged is shown"
        for run in runs
        if run.status != "FINISHED"
    ]
    if len({run.pipeline for run in runs}) > 1:
        kinds = ", ".join(f"{run.label} {run.pipeline or 'none'}" for run in runs)
        notes.append(
            f"the runs are of different pipelines ({kinds}): a score that a run does not "
            "have is empty"
        )
    return notes


def _incomparable(run: ComparedRun, reference: ComparedRun) -> str:
    """Returns why there are no differences of two runs, in a sentence; "" if there are."""
    if not run.resamples:
        return (
            f"no differences of runs {reference.label} and {run.label}: {run.title} has not kept "
            "its scores on resamples of test"
        )
    one, other = reference.resamples, run.resamples
    if one["digest"] != other["digest"]:
        return (
            f"no differences of runs {reference.label} and {run.label}: their data are not the "
            f"same (digests {one['digest']} and {other['digest']})"
        )
    if one["units"] != other["units"]:
        return (
            f"no differences of runs {reference.label} and {run.label}: their test splits are cut "
            f"into {one['units']} and {other['units']} examples"
        )
    return ""


def _differences(run: ComparedRun, reference: ComparedRun) -> list[Difference]:
    one, other = run.resamples, reference.resamples
    found = []
    for name, values in one["scores"].items():
        key = metric_names.score("test", name)
        if name not in other["scores"] or key not in run.scores or key not in reference.scores:
            continue
        bounds = difference(values, other["scores"][name])
        if bounds:
            found.append(
                Difference(
                    run.label,
                    reference.label,
                    name,
                    run.scores[key] - reference.scores[key],
                    bounds,
                    one["greater_is_better"] if name == one["metric"] else None,
                )
            )
    # The score that the pipeline compares comes first.
    return sorted(found, key=lambda each: each.greater_is_better is None)


def _curves(run: Run) -> dict[str, tuple[list[int], list[float]]]:
    client, curves = mlflow.MlflowClient(), {}
    logged: dict[str, list[str]] = {}
    for name in run.data.metrics:
        logged.setdefault(metric_names.current(name), []).append(name)
    every = metric_names.curves(logged)
    # Not the learning rate, say, which validation does not have.
    for name in (name for name in sorted(every) if f"val_{name.removeprefix('val_')}" in every):
        history = [
            each
            for key in logged[metric_names.training(name)]
            for each in client.get_metric_history(run.info.run_id, key)
        ]
        # Of an epoch that was logged twice, the later value.
        values = {each.step: each.value for each in sorted(history, key=lambda x: x.timestamp)}
        curves[name] = (sorted(values), [values[step] for step in sorted(values)])
    return curves


def _resamples(identifier: str) -> Mapping[str, Any]:
    """Returns what a run has kept of its scores on resamples of test, or nothing."""
    client = mlflow.MlflowClient()
    try:
        if all(each.path != COMPARABLE for each in client.list_artifacts(identifier)):
            return {}
        return json.loads(mlflow.artifacts.load_text(f"runs:/{identifier}/{COMPARABLE}"))
    except (mlflow.MlflowException, OSError, ValueError):
        return {}


def _union(mappings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns all keys, in the order in which they come first."""
    return [*dict.fromkeys(name for mapping in mappings for name in mapping)]
