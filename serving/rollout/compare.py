"""Compare two labels of a model: answers to the same requests, and latencies."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from serving.client import Client
from serving.errors import UserError
from serving.query import json_lines
from serving.rollout.golden import distances

Request = tuple[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Output:
    """One output of both labels, compared over all requests.

    Attributes:
        difference: Largest difference between two numbers; None where there are no floats.
        agreement: Fraction of values that are equal, from 0 to 1.
        fault: Why the outputs cannot be compared; empty if they can.
    """

    difference: float | None
    agreement: float
    fault: str = ""


@dataclass(frozen=True)
class Comparison:
    """Answers and latencies of two labels, compared.

    Attributes:
        versions: Version by label.
        outputs: Comparison by SIGNATURE/OUTPUT.
        latencies: By label, milliseconds of each request.
    """

    versions: dict[str, int]
    outputs: dict[str, Output]
    latencies: dict[str, list[float]]


def compare(
    client: Client,
    model: str,
    requests: Sequence[Request],
    labels: tuple[str, str],
    *,
    repeats: int = 5,
) -> Comparison:
    """Sends each request to both labels, one right after the other, in alternating order.

    Args:
        client: Connection to the server.
        model: Served name.
        requests: Signatures with their inputs.
        labels: The two labels.
        repeats: How often each request is sent to each label.

    Raises:
        ServingError: The server refuses or fails.
    """
    versions = {label: client.version(model, label=label) for label in labels}
    latencies: dict[str, list[float]] = {label: [] for label in labels}
    pairs: list[tuple[str, dict[str, dict[str, np.ndarray]]]] = []
    for repeat in range(repeats):
        for number, (signature, inputs) in enumerate(requests):
            answers = {}
            for label in labels if (repeat + number) % 2 == 0 else labels[::-1]:
                start = time.perf_counter()
                answers[label] = client.predict(model, inputs, signature=signature, label=label)
                latencies[label].append(1000 * (time.perf_counter() - start))
            if repeat == 0:
                pairs.append((signature, answers))
    found: dict[str, list[Output]] = {}
    for signature, answers in pairs:
        one, other = (answers[label] for label in labels)
        for name in sorted({*one, *other}):
            output = _output(one.get(name), other.get(name), labels)
            found.setdefault(f"{signature or 'serving_default'}/{name}", []).append(output)
    return Comparison(versions, {key: _joined(each) for key, each in found.items()}, latencies)


def read_requests(
    client: Client, model: str, label: str, lines: Iterable[str], signature: str
) -> list[Request]:
    """Returns requests from JSON lines, as `query --json` takes them.

    Raises:
        UserError: A line does not fit the signature, or there is no such signature.
        ServingError: The server refuses or fails.
    """
    signatures = client.metadata(model, label=label)
    key = signature or "serving_default"
    if key not in signatures:
        raise UserError(f"choose a signature of {model}: {', '.join(signatures)}")
    return [
        (key, json_lines.inputs(line, signatures[key], f"line {number}")[0])
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def _output(one: np.ndarray | None, other: np.ndarray | None, labels: tuple[str, str]) -> Output:
    if one is None or other is None:
        return Output(None, 0.0, f"only {labels[0 if other is None else 1]} has it")
    if one.dtype != other.dtype or one.shape != other.shape:
        fault = f"{one.dtype} {one.shape} against {other.dtype} {other.shape}"
        return Output(None, 0.0, fault)
    if one.dtype.kind in "fcV":
        difference = distances(one, other)
        equal = float((difference == 0).mean()) if difference.size else 1.0
        return Output(float(difference.max(initial=0.0)), equal)
    return Output(None, float((one == other).mean()) if one.size else 1.0)


def _joined(outputs: Sequence[Output]) -> Output:
    known = [output.difference for output in outputs if output.difference is not None]
    return Output(
        max(known) if known else None,
        sum(output.agreement for output in outputs) / len(outputs),
        next((output.fault for output in outputs if output.fault), ""),
    )


def tables(found: Comparison) -> list[Table]:
    """Returns a table of the outputs and one of the latencies."""
    outputs = Table("output", "largest difference", "equal values")
    for key, output in found.outputs.items():
        difference = "" if output.difference is None else f"{output.difference:.3g}"
        outputs.add_row(key, output.fault or difference, f"{100 * output.agreement:.1f} %")
    latencies = Table("label", "version", "requests", "p50 ms", "p90 ms")
    for label, taken in found.latencies.items():
        p50, p90 = np.percentile(taken, [50, 90]) if taken else (0.0, 0.0)
        latencies.add_row(
            label, str(found.versions[label]), str(len(taken)), f"{p50:.2f}", f"{p90:.2f}"
        )
    return [outputs, latencies]
