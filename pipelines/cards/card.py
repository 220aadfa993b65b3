"""The model card of a run (Mitchell et al., "Model Cards for Model Reporting", 2019), in Markdown.

It says what the model is for, what it was trained on, how well it does beside its baselines, where
it fails, what it costs, and how to ask it. All of it are facts of the run.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

import architectures
from pipelines import catalog, metric_names
from pipelines.baselines import Baseline
from pipelines.cards.call import call
from pipelines.datasets.checks import Checks
from pipelines.datasets.dataset import Dataset
from pipelines.environment import code_version
from pipelines.evaluation import Evaluation
from pipelines.export.signature import Signature
from pipelines.task import ByClass, Network, Task

# Of these, the lowest are named as limits.
_WORST_CLASSES = 5
_MAX_CLASSES = 40


@dataclass(frozen=True)
class Facts:
    """The facts of a run that its card is made of.

    Attributes:
        name: Name under which the model is registered and served.
        pipeline: Name of the pipeline.
        run_id: The MLflow run.
        task: The task, with its config.
        data: The data set.
        checks: What was found in it.
        network: The trained network.
        evaluated: The network's scores.
        baselines: What it was compared with.
        strongest: The one of them that it has to beat.
        margins: 95 % intervals by score of test's score less the strongest baseline's.
    """

    name: str
    pipeline: str
    run_id: str
    task: Task
    data: Dataset
    checks: Checks
    network: Network
    evaluated: Evaluation
    baselines: Sequence[Baseline]
    strongest: Baseline
    margins: Mapping[str, tuple[float, float]]


def summary(facts: Facts) -> str:
    """Returns what the model is and how well it does, in two sentences of Markdown."""
    return f"{_what(facts)} {_how_well(facts)}"


def about(facts: Facts) -> str:
    """Returns what all versions of the model are, in a sentence."""
    known = catalog.pipelines().get(facts.pipeline)
    what = known.summary if known else facts.pipeline
    return f"{what}: versions from runs of the pipeline `{facts.pipeline}`."


def markdown(
    facts: Facts, signatures: Sequence[Signature], *, megabytes: float, milliseconds: float
) -> str:
    """Returns the whole facts.

    Args:
        facts: The facts of the run.
        signatures: Those of the SavedModel, `serving_default` first.
        megabytes: Size of its graph and weights on disk, in 10^6 bytes.
        milliseconds: Time of a request for one example to `serving_default`.
    """
    found = facts.task.by_class(facts.evaluated.test, facts.data)
    sections = {
        "Scores": _scores(facts),
        "How to ask it": _use(facts, signatures),
        "Results by class": _by_class(found),
        "Limits": _limits(facts, found),
        "Data": _data(facts),
        "Network and training": _training(facts),
        "Size and latency": _cost(megabytes, milliseconds),
        "Origin": _origin(facts),
    }
    parts = [f"# {facts.name}", summary(facts)]
    parts += [f"## {title}\n\n{text}" for title, text in sections.items() if text]
    return "\n\n".join(parts) + "\n"


def _what(facts: Facts) -> str:
    config = facts.task.config
    source = _source(config.architecture)
    known = catalog.pipelines().get(facts.pipeline)
    what = known.summary if known else facts.pipeline
    return (
        f"{what} by `{config.architecture}`{f' ({source})' if source else ''} with "
        f"{facts.network.model.count_params():,} parameters, trained on `{facts.data.name}`."
    )


def _source(architecture: str) -> str:
    entry = architectures.ARCHITECTURES.get(architecture)
    return entry.source if entry else ""


def _how_well(facts: Facts) -> str:
    metric = facts.task.metric
    score = facts.evaluated.scores[metric_names.score("test", metric)]
    own = f"{metric.replace('_', ' ')} on test: **{score:.4f}**"
    if metric in facts.evaluated.intervals:
        own += f" ({_interval(facts.evaluated.intervals[metric])})"
    compared = facts.strongest.test[metric]
    own += f"; the strongest baseline, {facts.strongest.name}: {compared:.4f}"
    if metric in facts.margins:
        difference = score - compared
        own += f"; difference {difference:+.4f} ({_interval(facts.margins[metric], sign='+')})"
    return f"{own[0].upper()}{own[1:]}."


def _interval(ends: tuple[float, float], sign: str = "") -> str:
    low, high = ends
    return f"95 % interval {low:{sign}.4f} … {high:{sign}.4f}"


def _scores(facts: Facts) -> str:
    evaluated, best = facts.evaluated, facts.strongest
    names = metric_names.scores("test", evaluated.scores)
    rows = []
    for name in names:
        low, high = evaluated.intervals.get(name, (None, None))
        rows.append(
            (
                name.replace("_", " "),
                f"{evaluated.scores[metric_names.score('validation', name)]:.4f}",
                f"{evaluated.scores[metric_names.score('test', name)]:.4f}",
                "" if low is None else f"{low:.4f} … {high:.4f}",
                # Not every baseline has every score, as the perplexity of rules.
                *(f"{x.test[name]:.4f}" if name in x.test else "" for x in facts.baselines),
            )
        )
    headers = ("score", "validation", "test", "95 % interval of test")
    better = "higher" if facts.task.greater_is_better else "lower"
    return (
        f"{_table((*headers, *(each.name for each in facts.baselines)), rows)}\n\n"
        f"The last columns are the baselines' scores on test. The network and the baselines were "
        f"chosen by {facts.task.metric.replace('_', ' ')} on validation, where {better} is better; "
        f"there the strongest baseline, {best.name}, has "
        f"{best.validation[facts.task.metric]:.4f}. Test was looked at once."
    )


def _use(facts: Facts, signatures: Sequence[Signature]) -> str:
    rows = [
        (
            f"`{signature.name}`",
            "<br>".join(
                f"`{name}`: {spec.dtype.name} {_shape(spec.shape)}"
                for name, spec in signature.inputs.items()
            ),
            "<br>".join(
                f"`{name}`: {_dtype(array)} {_shape((None, *array.shape[1:]))}"
                for name, array in signature.expected.items()
            ),
        )
        for signature in signatures
    ]
    table = _table(("signature", "inputs", "outputs, as those of its examples"), rows)
    return f"```python\n{call(facts.name, signatures[0])}```\n\n{table}"


def _dtype(array: Any) -> str:
    return "string" if array.dtype.kind in "OSU" else array.dtype.name


def _shape(shape: Any) -> str:
    sizes = ", ".join("…" if size is None else str(size) for size in tuple(shape))
    return f"[{sizes}]"


def _by_class(found: ByClass | None) -> str:
    if found is None:
        return ""
    lowest = found.lowest(_MAX_CLASSES)
    rows = [(f"`{name}`", f"{score:.4f}", f"{count:,}") for name, (score, count) in lowest.items()]
    left = len(found.classes) > len(lowest)
    note = f"\n\nThe lowest of {len(found.classes)} classes." if left else ""
    return _table(("class", f"{found.score} on test", found.counted), rows) + note


def _limits(facts: Facts, found: ByClass | None) -> str:
    metric = facts.task.metric
    lines = []
    sign = 1 if facts.task.greater_is_better else -1
    ends = facts.margins.get(metric)
    if ends and min(sign * end for end in ends) <= 0:
        lines.append(
            f"On test it is not shown to be better than {facts.strongest.name}: the interval of "
            "the difference contains zero or lies beyond it."
        )
    if found and len(found.classes) > 2:
        worst = found.lowest(_WORST_CLASSES).items()
        named = ", ".join(f"`{name}` ({score:.2f})" for name, (score, _) in worst)
        lines.append(f"The classes with the lowest {found.score} on test: {named}.")
    lines += facts.checks.notes
    lines.append(
        f"All scores are of `{facts.data.name}`; of data from elsewhere nothing was measured."
    )
    return "\n".join(f"- {line[0].upper()}{line[1:]}" for line in lines)


def _data(facts: Facts) -> str:
    data = facts.data
    of_license = data.license or "not stated by its source"
    about = [f"`{data.name}`, version {data.version}, digest `{data.digest}`."]
    about.append(f"License: {' '.join(of_license.split())}.")
    if data.homepage:
        about.append(f"Source: <{data.homepage}>.")
    return f"{' '.join(about)}\n\n{facts.checks.markdown()}"


def _training(facts: Facts) -> str:
    config = facts.task.config
    chosen = {
        **{f"model.{key}": value for key, value in facts.network.hyperparameters.items()},
        **{
            name: value
            for name, value in config.hyperparameters().items()
            if not name.startswith("model.") and (value or name == "seed")
        },
    }
    rows = [(f"`{name}`", f"`{value}`") for name, value in sorted(chosen.items())]
    table = _table(("option", "value"), rows)
    return f"{table}\n\nOptions that are off, or zero, are left out."


def _cost(megabytes: float, milliseconds: float) -> str:
    return (
        f"Graph and weights have {megabytes:.2f} MB on disk. A request for one example to "
        f"`serving_default` took {milliseconds:.2f} ms on {os.cpu_count()} cores "
        f"({platform.machine()}), without a server around it."
    )


def _origin(facts: Facts) -> str:
    commit, _ = code_version()
    return (
        f"Run `{facts.run_id}` of the pipeline `{facts.pipeline}`, code `{commit[:12]}`, Keras "
        f"{keras.__version__}, TensorFlow {tf.__version__}, Python {platform.python_version()}. "
        "The run's `config.yaml` trains it again."
    )


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines
    )
