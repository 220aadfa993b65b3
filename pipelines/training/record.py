"""What a diagnosis has measured, and the arrays that a checkpoint keeps of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

MEASURED = ("gradient_norm", "weight_norm", "mean", "deviation", "saturation")
WEIGHT_VALUES = ("gradient_norm", "weight_norm", "update_ratio")
ACTIVATION_VALUES = ("mean", "deviation", "saturation", "dead_units")


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

    def arrays(self) -> list[np.ndarray]:
        """Returns all values: the steps, one array for each kind, one for each recurrent layer."""
        kinds = [np.array(getattr(self, name)) for name in _KINDS]
        return [np.array(self.steps, np.int64), *kinds, *map(np.array, self.over_time.values())]

    @staticmethod
    def count(over_time: Sequence[str]) -> int:
        """Returns how many `arrays` there are with these recurrent layers."""
        return 1 + len(_KINDS) + len(over_time)

    @classmethod
    def of(cls, arrays: Sequence[np.ndarray], over_time: Sequence[str]) -> Record:
        """Returns the record whose `arrays` these are, with the names of its recurrent layers."""
        left: Iterator[np.ndarray] = iter(arrays)
        record = cls(steps=next(left).tolist())
        for name in _KINDS:
            setattr(record, name, list(next(left)))
        record.over_time = {name: list(next(left)) for name in over_time}
        return record


_KINDS = (*WEIGHT_VALUES, *ACTIVATION_VALUES)
