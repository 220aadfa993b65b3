"""Diagnosis of a training: what happens inside of a network, as metrics, figures and warnings.

Every so many steps a probe (`probe.py`) looks at one batch of the training split, always the same,
and at how far the next update moves the weights. After each epoch the values are logged and
compared with patterns of trainings that go wrong (`patterns.py`).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from rich.text import Text

from pipelines import progress
from pipelines.config import Config
from pipelines.datasets.dataset import Dataset
from pipelines.task import Network, Task
from pipelines.training import batching, diagnosis_figures, patterns
from pipelines.training.callbacks import Log
from pipelines.training.patterns import Finding, Series
from pipelines.training.probe import Probe

# Steps between two probes, each of which takes about two steps' time.
_INTERVAL = 50
# Probes of a long run at most, unless the interval is chosen.
_MAX_PROBES = 200
# Layers whose values are metrics of the run; figures and the table have all of them.
_MAX_LAYERS = 16


@dataclass
class Record:
    """What was measured so far, a value for each probe; see `Measured` and `Series`."""

    steps: list[int] = field(default_factory=list)
    gradient_norm: list[np.ndarray] = field(default_factory=list)
    weight_norm: list[np.ndarray] = field(default_factory=list)
    update_ratio: list[np.ndarray] = field(default_factory=list)
    mean: list[np.ndarray] = field(default_factory=list)
    deviation: list[np.ndarray] = field(default_factory=list)
    saturation: list[np.ndarray] = field(default_factory=list)
    dead_units: list[np.ndarray] = field(default_factory=list)
    over_time: dict[str, list[np.ndarray]] = field(default_factory=dict)


WEIGHT_VALUES = ("gradient_norm", "weight_norm", "update_ratio")
ACTIVATION_VALUES = ("mean", "deviation", "saturation", "dead_units")


def interval(chosen: bool | int, steps: int) -> int:
    """Returns the number of steps from one probe to the next, 0 for none.

    Args:
        chosen: The option: False or 0 for none, True for the default, or the number itself.
        steps: Number of steps of the whole training.
    """
    if chosen is True:
        return max(_INTERVAL, math.ceil(steps / _MAX_PROBES))
    return int(chosen)


def callbacks(
    task: Task, network: Network, fitted: keras.Model, data: Dataset, log: Log
) -> list[keras.callbacks.Callback]:
    """Returns the callback that looks inside of a network, if its config asks for it.

    Args:
        task: The task, with the config.
        network: The network to look at.
        fitted: The compiled model that is trained: the network's, or one that holds it.
        data: The data set, of whose first batch the values are.
        log: Where they are logged.
    """
    config, recipe = task.config, task.config.recipe
    if not config.diagnose:
        return []
    steps = batching.steps_per_epoch(data, recipe.batch_size)
    probe = Probe(network.model, fitted, next(iter(batching.training_batches(task, data))))
    every, known = interval(config.diagnose, recipe.epochs * steps), network.hyperparameters
    return [Diagnosis(probe, log, config, every=every, steps=steps, hyperparameters=known)]


class Diagnosis(keras.callbacks.Callback):
    """Probes a network in training; changes nothing about the training itself.

    Attributes:
        findings: Patterns that were recognized, each at its first time.
        record: All values.
    """

    def __init__(
        self,
        probe: Probe,
        log: Log,
        config: Config,
        *,
        every: int,
        steps: int,
        hyperparameters: Mapping[str, Any],
    ) -> None:
        """Takes the steps between two probes, those of an epoch, and hyperparameters."""
        super().__init__()
        self._probe, self._log, self._config, self._every = probe, log, config, every
        self._hyperparameters = hyperparameters
        self.findings: dict[str, Finding] = {}
        self.record = Record()
        self._steps, self._done, self._next, self._logged = steps, 0, -1, 0
        self._before: Any = None
        self._updates = 0
        self._dead: list[list[np.ndarray]] = []
        self._epochs: dict[str, list[float]] = {}

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._done = epoch * self._steps

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        step = self._done + batch
        if self._next < 0:  # A training that is resumed goes on with the multiples of the interval.
            self._next = -(-step // self._every) * self._every
        if step < self._next or self._before is not None:
            return
        self._next = step - step % self._every + self._every
        measured, record = self._probe.measure(), self.record
        record.steps.append(step)
        for name in ("gradient_norm", "weight_norm", "mean", "deviation", "saturation"):
            getattr(record, name).append(np.asarray(getattr(measured, name), np.float64))
        # Until the next update has been seen.
        record.update_ratio.append(np.full(len(self._probe.weight_rows), np.nan))
        fractions = [units.mean() if len(units) else np.nan for units in measured.dead]
        record.dead_units.append(np.array(fractions))
        self._dead = [*self._dead[1 - patterns.LASTING :], measured.dead]
        for name, norms in measured.over_time.items():
            record.over_time.setdefault(name, []).append(norms)
        self._before, self._updates = self._probe.weights(), self._iterations()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        if self._before is None:
            return
        # With accumulated gradients most steps change nothing; Keras may take several in one call.
        updates = self._iterations() - self._updates
        if updates:
            self.record.update_ratio[-1] = self._probe.update_ratio(self._before) / updates
            self._before = None
            self._log_new()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        for name, value in (logs or {}).items():
            self._epochs.setdefault(name, []).append(float(value))
        rate = float(self.model.optimizer.learning_rate)
        self._epochs.setdefault("learning_rate", []).append(rate)
        for finding in patterns.recognize(self._series(), self._config, self._hyperparameters):
            if finding.pattern not in self.findings:
                self.findings[finding.pattern] = finding
                progress.console.print(Text(f"warning: {finding}"), soft_wrap=True)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Logs the report, the table of all values, and the figures, if there are to be any."""
        self._before = None
        self._log_new()
        self._log.diagnosis(list(self.findings), self.report(), self.table())
        if self._config.figures and self.record.steps:
            for name, figure in diagnosis_figures.figures(self):
                self._log.figure(name, figure)

    def values(self, name: str) -> np.ndarray:
        """Returns one kind of value, float [probes, layers]."""
        return np.array(getattr(self.record, name))

    def layers(self, name: str) -> tuple[str, ...]:
        """Returns the names of the layers that have one kind of value."""
        rows = self._probe.weight_rows if name in WEIGHT_VALUES else self._probe.activation_rows
        return tuple(rows)

    def report(self) -> str:
        """Returns the findings, and where to look, as Markdown."""
        record = self.record
        lines = ["# Diagnosis", ""]
        lines += [f"- **{one.pattern}**: {one.sentence}." for one in self.findings.values()]
        if not self.findings:
            lines.append("No pattern of a training that goes wrong was recognized.")
        for finding in self.findings.values():
            lines += ["", f"## {finding.pattern.capitalize()}", "", "What usually helps:", ""]
            lines += [
                f"- `{cure}`" if cure.startswith("--") else f"- {cure}" for cure in finding.cures
            ]
        lines += [
            "",
            f"{len(record.steps)} probes, one every {self._every} steps, of "
            f"{len(self._probe.weight_rows)} layers with weights and "
            f"{len(self._probe.activation_rows)} with activations. `diagnosis/values.csv` has all "
            "values; the heat maps are among the figures.",
            "",
        ]
        return "\n".join(lines)

    def table(self) -> str:
        """Returns all values as CSV: step, layer, value, number."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["step", "layer", "value", "number"])
        for name in (*WEIGHT_VALUES, *ACTIVATION_VALUES):
            for step, row in zip(self.record.steps, getattr(self.record, name), strict=True):
                for layer, number in zip(self.layers(name), row, strict=True):
                    if not math.isnan(number):
                        writer.writerow([step, layer, name, f"{number:.6g}"])
        for layer, rows in self.record.over_time.items():
            for step, norms in zip(self.record.steps, rows, strict=True):
                for place, number in enumerate(norms):
                    writer.writerow([step, layer, f"gradient_at_{place}", f"{number:.6g}"])
        return text.getvalue()

    def _series(self) -> Series:
        record = self.record
        lasting = np.zeros(0)
        if len(self._dead) == patterns.LASTING:
            together = (np.logical_and.reduce(units) for units in zip(*self._dead, strict=True))
            lasting = np.array([units.mean() if len(units) else 0.0 for units in together])
        return Series(
            np.array(record.steps),
            self._probe.weight_rows,
            self.values("gradient_norm"),
            self.values("weight_norm"),
            self._probe.activation_rows,
            self.values("saturation"),
            lasting,
            {name: np.array(rows) for name, rows in record.over_time.items()},
            self._epochs,
        )

    def _log_new(self) -> None:
        """Logs the probes that are complete and not logged yet, all in one go."""
        complete = len(self.record.steps) - (self._before is not None)
        new = range(self._logged, complete)
        self._log.steps({self.record.steps[index]: self._metrics(index) for index in new})
        self._logged = complete

    def _metrics(self, index: int) -> dict[str, float]:
        """Returns the metrics of a probe: of the whole network, and of evenly spread layers."""
        record = self.record
        metrics = {}
        for name in WEIGHT_VALUES[:2]:
            row = getattr(record, name)[index]
            metrics[f"diagnosis/{name}"] = float(np.sqrt(np.nansum(row**2)))
        for name in (*WEIGHT_VALUES, *ACTIVATION_VALUES):
            row, layers = getattr(record, name)[index], self.layers(name)
            count = min(len(layers), _MAX_LAYERS)
            for place in np.linspace(0, len(layers) - 1, count).round().astype(int):
                metrics[f"diagnosis/{layers[place]}/{name}"] = float(row[place])
        return {name: value for name, value in metrics.items() if math.isfinite(value)}

    def _iterations(self) -> int:
        return int(self.model.optimizer.iterations)
