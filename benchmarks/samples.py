"""Statistics of samples: rates and percentiles over rounds, and the parts of a server's time."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.load import Load, Sample

_SERIES = re.compile(r"([^\s{]+)(?:\{(.*)\})?\s+(\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_PREFIX = ":tensorflow:serving:"
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Histogram:
    """A histogram of a Prometheus page.

    Attributes:
        bounds: Upper bounds of the buckets, ascending; the last is infinite. TensorFlow's
            bounds are exclusive, unlike Prometheus'.
        counts: How many values each bucket holds, float64 [buckets].
        total: Sum of the values.
    """

    bounds: tuple[float, ...]
    counts: np.ndarray
    total: float

    @property
    def count(self) -> float:
        return float(self.counts.sum())

    @property
    def mean(self) -> float:
        """The mean value; NaN if there is none."""
        return self.total / self.count if self.count else float("nan")

    def __sub__(self, earlier: Histogram) -> Histogram:
        """Returns the difference from an earlier page."""
        return Histogram(self.bounds, self.counts - earlier.counts, self.total - earlier.total)

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(self.bounds, self.counts + other.counts, self.total + other.total)

    def sizes(self) -> dict[str, float]:
        """Returns the counts of integers by the range of the bucket, such as "4–7".

        Empty buckets at both ends are left out.
        """
        held = np.flatnonzero(self.counts)
        if not len(held):
            return {}
        lowest = [0.0, *self.bounds]
        return {
            _size(lowest[index], lowest[index + 1]): float(self.counts[index])
            for index in range(held[0], held[-1] + 1)
        }


def _size(low: float, bound: float) -> str:
    if np.isinf(bound):
        return f">={low:g}"
    return f"{low:g}" if bound - low <= 1 else f"{low:g}–{bound - 1:g}"


def histogram(page: str, name: str, labels: Mapping[str, str] | None = None) -> Histogram | None:
    """Reads a histogram, the sum of all series with these labels; None if there is none.

    Args:
        page: A model server's Prometheus page.
        name: The metric without TensorFlow Serving's prefix, as `request_latency`.
        labels: Labels that a series must have to be counted.
    """
    cumulative: dict[float, float] = {}
    total = 0.0
    wanted = (labels or {}).items()
    for match in filter(None, map(_SERIES.fullmatch, page.splitlines())):
        series, own = match[1], dict(_LABEL.findall(match[2] or ""))
        if not wanted <= own.items():
            continue
        if series == f"{_PREFIX}{name}_bucket":
            bound = float(own["le"].replace("Inf", "inf"))
            cumulative[bound] = cumulative.get(bound, 0.0) + float(match[3])
        elif series == f"{_PREFIX}{name}_sum":
            total += float(match[3])
    if not cumulative:
        return None
    bounds = tuple(sorted(cumulative))
    counts = np.diff([cumulative[bound] for bound in bounds], prepend=0.0)
    return Histogram(bounds, counts, total)


@dataclass(frozen=True)
class Served:
    """A server's metrics of one model: times in microseconds, and sizes of batches."""

    request: Histogram | None = None
    runtime: Histogram | None = None
    queue: Histogram | None = None
    batches: Histogram | None = None

    @classmethod
    def of(cls, page: str, model: str) -> Served:
        """Reads the page of a server with batching for one model at most."""
        own = {"model_name": model}
        return cls(
            histogram(page, "request_latency", own),
            histogram(page, "runtime_latency", own),
            histogram(page, "batching_session:queuing_latency"),
            histogram(page, "batching_session:processed_batch_size"),
        )

    def since(self, earlier: Served) -> Served:
        """Returns the difference from an earlier page."""
        return Served(
            _since(self.request, earlier.request),
            _since(self.runtime, earlier.runtime),
            _since(self.queue, earlier.queue),
            _since(self.batches, earlier.batches),
        )

    def __add__(self, other: Served) -> Served:
        return Served(
            _sum(self.request, other.request),
            _sum(self.runtime, other.runtime),
            _sum(self.queue, other.queue),
            _sum(self.batches, other.batches),
        )


def _since(later: Histogram | None, earlier: Histogram | None) -> Histogram | None:
    return later - earlier if later and earlier else later


def _sum(one: Histogram | None, other: Histogram | None) -> Histogram | None:
    return one + other if one and other else one or other


@dataclass(frozen=True)
class Split:
    """The parts of the mean request's time, in milliseconds.

    Attributes:
        transport: Between the client and the server's code: network, HTTP/2, waiting for a thread,
            and in an open loop for a caller.
        codec: In the server's code outside the runtime: conversion of tensors from and to messages.
        queue: Waiting for a batch.
        runtime: In TensorFlow.
    """

    transport: float
    codec: float
    queue: float
    runtime: float


@dataclass(frozen=True)
class Row:
    """One system under one load, measured once per round.

    Attributes:
        experiment: What is compared.
        system: Name of the system.
        load: The load.
        rounds: The sample of each round.
        served: The server's metrics over all rounds, if it has any.
    """

    experiment: str
    system: str
    load: Load
    rounds: tuple[Sample, ...]
    served: Served = Served()

    @property
    def asked(self) -> str:
        """The load as text."""
        if self.load.rate:
            return f"open, {self.load.rate:.0f}/s"
        return "1 client" if self.load.callers == 1 else f"{self.load.callers} clients"

    @property
    def rate(self) -> float:
        """Answers per second: the median round's."""
        return float(np.median([sample.rate for sample in self.rounds]))

    @property
    def best(self) -> float:
        """Answers per second: the best round's."""
        return max(sample.rate for sample in self.rounds)

    @property
    def errors(self) -> int:
        return sum(sample.errors for sample in self.rounds)

    @property
    def error(self) -> str:
        """Message of the first failure."""
        return next((sample.error for sample in self.rounds if sample.error), "")

    def milliseconds(self, percentile: float) -> float:
        """Returns a percentile of the latencies of all rounds; NaN if nothing was answered."""
        latencies = self._latencies()
        return float(1e3 * np.percentile(latencies, percentile)) if len(latencies) else float("nan")

    @property
    def split(self) -> Split | None:
        """The parts of the time; None if the server has no metrics."""
        request, runtime, queue = self.served.request, self.served.runtime, self.served.queue
        latencies = self._latencies()
        if not (request and request.count and runtime and runtime.count and len(latencies)):
            return None
        queued = queue.mean if queue and queue.count else 0.0
        return Split(
            transport=float(1e3 * latencies.mean()) - request.mean / 1e3,
            codec=(request.mean - runtime.mean) / 1e3,
            queue=queued / 1e3,
            runtime=(runtime.mean - queued) / 1e3,
        )

    def _latencies(self) -> np.ndarray:
        return np.concatenate([sample.latencies for sample in self.rounds])


def ratios(row: Row, reference: Row) -> np.ndarray:
    """Returns a row's rate over its reference's, round by round: float64 [rounds].

    Both are measured in each round, so that a slow machine slows both.
    """
    pairs = zip(row.rounds, reference.rounds, strict=True)
    return np.array([own.rate / other.rate if other.rate else np.nan for own, other in pairs])


def speeds(row: Row, reference: Row) -> np.ndarray:
    """Returns a reference's 99th percentile of latency over a row's, by round: float64 [rounds]."""
    pairs = zip(row.rounds, reference.rounds, strict=True)
    return np.array([_p99(other) / _p99(own) for own, other in pairs])


def _p99(sample: Sample) -> float:
    return float(np.percentile(sample.latencies, 99)) if len(sample.latencies) else np.nan


def bars(counts: Sequence[float]) -> str:
    """Returns counts as a line of bars, one character each; a blank where there is none."""
    largest = max(counts, default=0)
    if not largest:
        return ""
    steps = [math.ceil(count / largest * len(_BARS)) for count in counts]
    return "".join(_BARS[step - 1] if step else " " for step in steps)
