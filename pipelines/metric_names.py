"""The names of a run's metrics.

MLflow's UI puts metrics into sections by what comes before the last slash, and sorts the sections:
the scores on test come first, then what belongs to them, the learning curves, and validation.

| name | what it is |
|---|---|
| `train/loss`, `train/val_loss`, … | learning curves, as Keras names them, by epoch |
| `validation/NAME`, `test/NAME` | scores of the trained network |
| `test/interval/NAME_low`, `…_high` | 95 % interval of the score that is compared |
| `SPLIT/deviation/NAME` | standard deviation over seeds |
| `SPLIT/baseline/NAME` | the same score of the strongest baseline |
| `SPLIT/margin/NAME` | that score less that of the strongest baseline |
| `test/margin/NAME_low`, `…_high` | 95 % interval of the margin |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

Part = Literal["baseline", "best", "deviation", "difference", "interval", "margin"]

_TRAINING = "train"
# How the names were written when they had no sections.
_EARLIER = tuple(
    (re.compile(pattern), now)
    for pattern, now in (
        (r"(baseline|margin|difference|best)_(validation|test)_(.+)", r"\2/\1/\3"),
        (r"(validation|test)_(.+)_deviation", r"\1/deviation/\2"),
        (r"test_(.+_(?:low|high))", r"test/interval/\1"),
        (r"(validation|test)_(.+)", r"\1/\2"),
        (r"train_(.+)|(val_.+|learning_rate|examples_per_second|restores)", r"train/\1\2"),
    )
)


def score(split: str, name: str) -> str:
    """Returns the name of a score on a split."""
    return f"{split}/{name}"


def part(score: str, kind: Part) -> str:
    """Returns the name of what belongs to a score: `test/margin/f1` for `test/f1`."""
    split, _, name = score.partition("/")
    return f"{split}/{kind}/{name}"


def bounds(name: str) -> tuple[str, str]:
    """Returns the names of the two ends of an interval."""
    return f"{name}_low", f"{name}_high"


def training(name: str) -> str:
    """Returns the name of a learning curve: `train/loss` for `loss` of Keras."""
    return f"{_TRAINING}/{name}"


def scores(split: str, names: Iterable[str]) -> list[str]:
    """Returns what the scores on a split are called, without the split."""
    found = (name.partition("/") for name in names)
    return [name for before, _, name in found if before == split and "/" not in name]


def curves(names: Iterable[str]) -> list[str]:
    """Returns what Keras calls the learning curves."""
    return scores(_TRAINING, names)


def words(name: str) -> str:
    """Returns a name as it is read: "validation macro f1" for `validation/macro_f1`."""
    return name.replace("/", " ").replace("_", " ")


def current(name: str) -> str:
    """Returns the name that a metric has now, where an earlier run may have logged it."""
    for pattern, now in _EARLIER:
        if pattern.fullmatch(name):
            return pattern.sub(now, name)
    return name


def read(metrics: Mapping[str, float]) -> dict[str, float]:
    """Returns a run's metrics by the names that they have now."""
    renamed = {current(name): value for name, value in metrics.items()}
    # A run that was resumed has metrics of both kinds; the later ones have the names of now.
    return renamed | {name: value for name, value in metrics.items() if name in renamed}
