"""What the model server is meant to reach, beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import experiments
from benchmarks.samples import Row, ratios
from benchmarks.systems import ECHO, IN_PROCESS, MLFLOW, SERVER, server_name


@dataclass(frozen=True)
class Aim:
    """A number to reach.

    Attributes:
        name: What is meant, as a metric's name.
        text: What is meant, for people.
        required: The least that reaches it.
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


def aims(rows: Sequence[Row], workers: int) -> list[Aim]:
    """Returns those aims for which there are measurements.

    Args:
        rows: What was measured.
        workers: Processes of the server that had several.
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
        _ratio(
            rows,
            "trivial_to_echo",
            "trivial model, 8 clients: of the bare gRPC echo",
            0.7,
            (experiments.TRIVIAL, 8, SERVER, ECHO),
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
    for what, experiment, callers in (
        ("convnet", experiments.IMAGES, 1),
        ("convnet", experiments.IMAGES, 8),
        ("resnet50", experiments.RESNET_ONE, 1),
    ):
        for protocol, own in (("grpc", SERVER), ("rest", server_name(rest=True))):
            clients = "1 client" if callers == 1 else f"{callers} clients"
            found.append(
                _ratio(
                    rows,
                    f"{what}_{protocol}_to_mlflow_{callers}",
                    f"{experiment}, {clients}: {own} to {MLFLOW}",
                    5,
                    (experiment, callers, own, MLFLOW),
                )
            )
    return [aim for aim in found if aim]


def _ratio(
    rows: Sequence[Row], name: str, text: str, required: float, what: tuple[str, int, str, str]
) -> Aim | None:
    experiment, callers, own, other = what
    row, reference = (_find(rows, experiment, callers, who) for who in (own, other))
    if not row or not reference:
        return None
    values = ratios(row, reference)
    return Aim(name, text, required, *_spread(values))


def _rate(
    rows: Sequence[Row], name: str, text: str, required: float, what: tuple[str, int, str]
) -> Aim | None:
    row = _find(rows, *what)
    if not row:
        return None
    values = np.array([sample.rate for sample in row.rounds])
    return Aim(name, text, required, *_spread(values), unit="requests/s")


def _find(rows: Sequence[Row], experiment: str, callers: int, contender: str) -> Row | None:
    """Returns the row of a closed loop."""
    for row in rows:
        found = (row.experiment, row.load.callers, row.contender)
        if found == (experiment, callers, contender) and not row.load.rate:
            return row
    return None


def _spread(values: np.ndarray) -> tuple[float, float, float]:
    return float(np.median(values)), float(values.min()), float(values.max())
