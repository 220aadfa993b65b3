"""Performance goals of the model server, compared with the measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import experiments
from benchmarks.samples import Row, ratios, speeds
from benchmarks.systems import ECHO, IN_PROCESS, MLFLOW, PARSED_ECHO, SERVER, server_name


@dataclass(frozen=True)
class Goal:
    """A goal and its measurement.

    Attributes:
        name: Name of the metric.
        text: Description.
        required: Minimum that reaches the goal.
        measured: The median round's.
        lowest: The worst round's.
        highest: The best round's.
        unit: "x" for a ratio, or "requests/s".
    """

    name: str
    text: str
    required: float
    measured: float
    lowest: float
    highest: float
    unit: str = "x"

    @property
    def reached(self) -> bool:
        return self.measured >= self.required


def goals(rows: Sequence[Row], workers: int) -> list[Goal]:
    """Returns the goals for which there are measurements.

    Args:
        rows: The measurements.
        workers: Processes of the server with several.
    """
    many = server_name(workers=workers)
    batching = server_name(batching=True)
    found = [
        _ratio(
            rows,
            "resnet50_to_in_process",
            "ResNet-50, batch 8: of TensorFlow in process",
            0.95,
            (experiments.RESNET_EIGHT, 1, SERVER, IN_PROCESS),
        ),
        _rate(
            rows,
            "trivial_by_workers",
            f"trivial model, 8 clients, {workers} workers",
            2200,
            (experiments.TRIVIAL, 8, many),
        ),
        _ratio(
            rows,
            "batching_to_none",
            "dense network, 64 clients: batching on to off",
            2,
            (experiments.BATCHING, 64, batching, SERVER),
        ),
    ]
    for callers in (1, 8):
        text = (
            f"trivial model, {_clients(callers)}: beside bodies of 6 MB to beside a busy processor"
        )
        what = (experiments.LARGE, callers, experiments.BESIDE_BODIES, experiments.BESIDE_BUSY)
        name = f"beside_bodies_p99_{callers}"
        found.append(_ratio(rows, name, f"{text}, by p99", 0.5, what, speeds))
    for callers in (1, 8, 32):
        text = f"trivial model, {_clients(callers)}: of the bare gRPC echo"
        what = (experiments.TRIVIAL, callers, SERVER, ECHO)
        found.append(_ratio(rows, f"trivial_to_echo_{callers}", text, 0.85, what))
        found.append(
            _ratio(rows, f"trivial_p99_to_echo_{callers}", f"{text}, by p99", 0.5, what, speeds)
        )
        what = (experiments.TRIVIAL, callers, SERVER, PARSED_ECHO)
        text = f"trivial model, {_clients(callers)}: of an echo that reads and writes the messages"
        found.append(_ratio(rows, f"trivial_to_parsed_echo_{callers}", text, 0.85, what))
    for network, experiment, callers in (
        ("convnet", experiments.IMAGES, 1),
        ("convnet", experiments.IMAGES, 8),
        ("resnet50", experiments.RESNET_ONE, 1),
    ):
        for protocol, own in (("grpc", SERVER), ("rest", server_name(rest=True))):
            found.append(
                _ratio(
                    rows,
                    f"{network}_{protocol}_to_mlflow_{callers}",
                    f"{experiment}, {_clients(callers)}: {own} to {MLFLOW}",
                    5,
                    (experiment, callers, own, MLFLOW),
                )
            )
    return [goal for goal in found if goal]


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"


def _ratio(
    rows: Sequence[Row],
    name: str,
    text: str,
    required: float,
    what: tuple[str, int, str, str],
    compare: Callable[[Row, Row], np.ndarray] = ratios,
) -> Goal | None:
    experiment, callers, own, other = what
    row, reference = (_find(rows, experiment, callers, who) for who in (own, other))
    if not row or not reference:
        return None
    values = compare(row, reference)
    return Goal(name, text, required, *_spread(values))


def _rate(
    rows: Sequence[Row], name: str, text: str, required: float, what: tuple[str, int, str]
) -> Goal | None:
    row = _find(rows, *what)
    if not row:
        return None
    values = np.array([sample.rate for sample in row.rounds])
    return Goal(name, text, required, *_spread(values), unit="requests/s")


def _find(rows: Sequence[Row], experiment: str, callers: int, system: str) -> Row | None:
    """Returns the row of a closed loop."""
    for row in rows:
        found = (row.experiment, row.load.callers, row.system)
        if found == (experiment, callers, system) and not row.load.rate:
            return row
    return None


def _spread(values: np.ndarray) -> tuple[float, float, float]:
    return float(np.median(values)), float(values.min()), float(values.max())
