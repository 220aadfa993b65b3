"""Diagnosis of a training: what happens inside of a network, as metrics, figures and warnings.

Every so many steps a probe (`probe.py`) looks at one batch of the training split, always the same,
and at how far the next update moves the weights. After each epoch the values are logged and
compared with patterns of trainings that go wrong (`patterns.py`).
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import keras
import numpy as np
from rich.text import Text

from pipelines import progress
from pipelines.config import Config
from pipelines.datasets.dataset import Dataset
from pipelines.errors import DivergenceError
from pipelines.task import Network, Task
from pipelines.training import batching, diagnosis_figures, patterns
from pipelines.training.callbacks import Log
from pipelines.training.cluster import workers_of
from pipelines.training.pace import Pace
from pipelines.training.patterns import Finding, Series
from pipelines.training.probe import Probe
from pipelines.training.record import ACTIVATION_VALUES, MEASURED, WEIGHT_VALUES, Record

# Steps between two probes at least, unless the interval is chosen.
_INTERVAL = 50
# Probes of a long run at most, unless the interval is chosen.
_MAX_PROBES = 200
# Layers whose values are metrics of the run; figures and the table have all of them.
_MAX_LAYERS = 16
# Seconds between two times of logging at least, within an epoch.
_SECONDS = 60.0


def interval(chosen: bool | int, steps: int) -> int:
    """Returns the number of steps from one probe to the next, 0 for none.

    Args:
        chosen: The option: False or 0 for none, True for the default, or the number itself.
        steps: Number of steps of the whole training.
    """
    if chosen is True:
        return max(_INTERVAL, math.ceil(steps / _MAX_PROBES))
    return int(chosen)


def diagnosis(
    task: Task, network: Network, fitted: keras.Model, data: Dataset, log: Log
) -> Diagnosis | None:
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
        return None
    steps = batching.steps_per_epoch(data, recipe.batch_size)
    probe = Probe(network.model, fitted, next(iter(batching.training_batches(task, data))))
    # Several workers have to look at the same steps.
    alone = len(workers_of(config.strategy).workers) == 1
    pace = Pace(
        interval(config.diagnose, recipe.epochs * steps), grows=config.diagnose is True and alone
    )
    known = network.hyperparameters
    return Diagnosis(probe, log, config, pace=pace, steps=steps, hyperparameters=known)


@contextmanager
def concluded(
    callbacks: Sequence[keras.callbacks.Callback], *, at_divergence: bool
) -> Iterator[None]:
    """Concludes diagnoses if the training in its body ends by a divergence."""
    try:
        yield
    except DivergenceError:
        for one in callbacks:
            if isinstance(one, Diagnosis) and at_divergence:
                one.conclude()
        raise


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
        pace: Pace,
        steps: int,
        hyperparameters: Mapping[str, Any],
    ) -> None:
        """Takes when to probe, the steps of an epoch, and the network's hyperparameters."""
        super().__init__()
        self._probe, self._log, self._config, self._pace = probe, log, config, pace
        self._hyperparameters = hyperparameters
        self.findings: dict[str, Finding] = {}
        self.record = Record()
        self._steps, self._done, self._logged, self._time = steps, 0, 0, time.monotonic()
        self._before: Any = None
        self._updates = self._last = 0
        self._dead: list[list[np.ndarray]] = []
        self._epochs: dict[str, list[float]] = {}

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._done = epoch * self._steps

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        step = self._done + batch
        self._last = step + 1
        if self._pace.begins(step, busy=self._before is not None):
            self._updates = self._iterations()  # Waits for the device, so that the time is right.
            with self._pace.looking():
                self._look(step)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        self._pace.ends(self._done + batch)
        if self._before is None:
            return
        # With accumulated gradients most steps change nothing; Keras may take several in one call.
        updates = self._iterations() - self._updates
        if not updates:
            return
        with self._pace.looking():
            self.record.update_ratio[-1] = self._probe.update_ratio(self._before) / updates
        self._before = None
        self._pace.looked()
        # Values of an epoch that is repeated would be there twice.
        repeats = self._config.recipe.on_nan == "restore"
        if time.monotonic() - self._time > _SECONDS and not repeats:
            self._log_new()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        for name, value in (logs or {}).items():
            self._epochs.setdefault(name, []).append(float(value))
        rate = float(self.model.optimizer.learning_rate)
        self._epochs.setdefault("learning_rate", []).append(rate)
        self._log_new()
        self._recognize()

    def conclude(self) -> None:
        """Looks a last time at a network whose training has diverged, and logs everything."""
        if self._last not in self.record.steps:
            self._look(self._last)
        self._before = None
        self._recognize()
        self.on_train_end()

    def state(self) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Returns what a checkpoint keeps: values for JSON, and arrays."""
        values = {
            "every": self._pace.every,
            "logged": self._logged,
            "epochs": self._epochs,
            "over_time": list(self.record.over_time),
            "units": [len(units) for units in self._dead[-1]] if self._dead else [],
            "findings": [asdict(finding) for finding in self.findings.values()],
        }
        dead = [np.concatenate([np.zeros(0, bool), *units]) for units in self._dead]
        return values, [*self.record.arrays(), *dead]

    def restore(self, values: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> None:
        """Goes on from what `state` has returned."""
        names = values["over_time"]
        self.record = Record.of(arrays, names)
        ends = np.cumsum(values["units"])[:-1]
        self._dead = [np.split(units, ends) for units in arrays[Record.count(names) :]]
        self._pace.every, self._logged = values["every"], values["logged"]
        self._epochs = {name: list(numbers) for name, numbers in values["epochs"].items()}
        self.findings = {
            one["pattern"]: Finding(one["pattern"], one["sentence"], tuple(one["cures"]))
            for one in values["findings"]
        }

    def _look(self, step: int) -> None:
        """Measures what there is to measure before a step."""
        measured, record = self._probe.measure(), self.record
        record.steps.append(step)
        for name in MEASURED:
            getattr(record, name).append(np.asarray(getattr(measured, name), np.float64))
        # Until the next update has been seen.
        record.update_ratio.append(np.full(len(self._probe.weight_rows), np.nan))
        fractions = [units.mean() if len(units) else np.nan for units in measured.dead]
        record.dead_units.append(np.array(fractions))
        self._dead = [*self._dead[1 - patterns.LASTING :], measured.dead]
        for name, norms in measured.over_time.items():
            record.over_time.setdefault(name, []).append(norms)
        self._before = self._probe.weights()

    def _recognize(self) -> None:
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
            f"{len(record.steps)} probes, the last ones {self._pace.every} steps apart, of "
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
        with self._pace.logging(len(new)):
            self._log.steps({self.record.steps[index]: self._metrics(index) for index in new})
        self._logged, self._time = complete, time.monotonic()

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
