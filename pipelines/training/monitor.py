"""The validation value that tells which epoch is the best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from architectures.words import nearest
from pipelines.datasets.dataset import Dataset
from pipelines.errors import UserError
from pipelines.task import Task

# Ends of names of metrics that are better the higher they are.
_HIGHER = ("accuracy", "auc", "iou", "f1", "precision", "recall", "bleu")


@dataclass(frozen=True)
class Monitor:
    """A validation value that training logs.

    Attributes:
        name: As in Keras' logs, "val_accuracy".
        greater_is_better: Whether a higher value is better.
    """

    name: str
    greater_is_better: bool

    @property
    def mode(self) -> str:
        """The direction as Keras' callbacks call it."""
        return "max" if self.greater_is_better else "min"

    def __str__(self) -> str:
        """Returns the best value in words, "the lowest validation loss"."""
        which = "highest" if self.greater_is_better else "lowest"
        return f"the {which} validation {self.name.removeprefix('val_')}"


def monitor(task: Task, data: Dataset) -> Monitor:
    """Returns the value that a task's recipe chooses.

    Raises:
        UserError: Training logs no such value.
    """
    chosen = task.config.recipe.monitor.removeprefix("val_") or "loss"
    known = directions(task, data)
    if chosen not in known:
        raise UserError(
            f"--monitor must be one of {', '.join(known)}, not {chosen!r}; "
            f"{nearest(chosen, known)}".removesuffix("; ")
        )
    return Monitor(f"val_{chosen}", known[chosen])


def directions(task: Task, data: Dataset) -> dict[str, bool]:
    """Returns what training logs by name, and whether a higher value is better."""
    return dict(_values(task.loss(data), task.metrics(data)))


def kept_epoch(task: Task, data: Dataset, history: Mapping[str, Sequence[float]]) -> int:
    """Returns the epoch, from 1 on, whose weights training has kept: the best, or the last."""
    watched, recipe = monitor(task, data), task.config.recipe
    values = np.array(history[watched.name], float)
    best = recipe.keep == "best" or (recipe.keep == "auto" and recipe.patience > 0)
    if not best or np.isnan(values).all():
        return len(values)
    return int(np.nanargmax(values) if watched.greater_is_better else np.nanargmin(values)) + 1


def _values(loss: Any, metrics: Any) -> Iterator[tuple[str, bool]]:
    """Yields the names of losses and metrics as Keras logs them, and whether more is better."""
    yield "loss", False
    if isinstance(loss, Mapping) and len(loss) > 1:
        yield from ((f"{output}_loss", False) for output in loss)
    by_output: Mapping[str, Sequence[keras.Metric]]
    by_output = metrics if isinstance(metrics, Mapping) else {"": metrics}
    for output, own in by_output.items():
        prefix = f"{output}_" if output and len(by_output) > 1 else ""
        for metric in own:
            higher = getattr(metric, "_direction", None) == "up" or metric.name.endswith(_HIGHER)
            yield f"{prefix}{metric.name}", higher
