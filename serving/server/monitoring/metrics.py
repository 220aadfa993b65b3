"""Counters and histograms, with TensorFlow Serving's names and in its exporter's format.

Metrics that TensorFlow itself counts, in C++, cannot be read from Python.

Counterparts: tensorflow_serving/servables/tensorflow/util.cc, batching/batching_session.cc,
batching/batching_util.h and util/prometheus_exporter.cc.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from serving.server.monitoring.batch_statistics import BatchStatistics
from serving.server.monitoring.observation import Observation

DEFAULT_PATH = "/monitoring/prometheus/metrics"

# By metric, then by the values of its labels joined by `_SEPARATOR`: a count, or the counts of a
# histogram's buckets and the sum of its values.
Snapshot: TypeAlias = dict[str, dict[str, list[float]]]

_SEPARATOR = "\0"
_OTHER = "(other)"
_MAX_UNKNOWN_MODELS = 100
_MAX_NAME_LENGTH = 200
_STAGES = ("queue", "runtime", "codec")
_COUNTED_APIS = ("Predict", "Classify", "Regress")
# TensorFlow Serving's metrics do not name the methods of GET requests.
_UNNAMED_APIS = ("GetModelStatus", "GetModelMetadata")
_EXAMPLE_APIS = ("Classify", "Regress", "MultiInference")


@dataclass(frozen=True)
class Metric:
    """A counter, or a histogram if it has bucket limits.

    Attributes:
        name: The exported name.
        labels: Names of its labels.
        limits: Upper limits of all buckets but the last, which has none.
    """

    name: str
    labels: tuple[str, ...]
    limits: tuple[float, ...] = ()


def exponential(scale: float, factor: float, count: int) -> tuple[float, ...]:
    """Returns bucket limits, from `scale` on, each `factor` times the one before."""
    limits = [scale]
    for _ in range(count - 1):
        limits.append(limits[-1] * factor)
    return tuple(limits)


_MICROSECONDS = exponential(10, 1.8, 33)
_SIZES = exponential(1, 2, 14)

_TFS, _OWN = ":tensorflow:serving:", ":keras_foundry:serving:"
_BATCHING = f"{_TFS}batching_session:"
_LATENCY_LABELS = ("model_name", "API", "entrypoint")
REQUEST_COUNT = Metric(f"{_TFS}request_count", ("model_name", "status"))
REQUEST_LATENCY = Metric(f"{_TFS}request_latency", _LATENCY_LABELS, _MICROSECONDS)
RUNTIME_LATENCY = Metric(f"{_TFS}runtime_latency", ("model_name", "API", "runtime"), _MICROSECONDS)
EXAMPLE_COUNTS = Metric(f"{_TFS}request_example_counts", ("model",), exponential(1, 2, 15))
EXAMPLE_TOTAL = Metric(f"{_TFS}request_example_count_total", ("model",))
WARMUP_LATENCY = Metric(f"{_TFS}model_warmup_latency", ("model_path", "status"), _MICROSECONDS)
WARMUP_RECORDS = Metric(f"{_TFS}model_warmup_records_read", ("model_path",))
QUEUING_LATENCY = Metric(
    f"{_BATCHING}queuing_latency", ("thread_pool_name",), exponential(100, 1.2, 52)
)
WRAPPED_RUN_COUNT = Metric(f"{_BATCHING}wrapped_run_count", ())
INPUT_BATCH_SIZE = Metric(f"{_BATCHING}input_batch_size", (), _SIZES)
PROCESSED_BATCH_SIZE = Metric(f"{_BATCHING}processed_batch_size", (), _SIZES)
PADDING_SIZE = Metric(f"{_BATCHING}padding_size", ("execution_batch_size",), _SIZES)
REQUESTS = Metric(f"{_OWN}request_count", (*_LATENCY_LABELS, "status"))
STAGE_LATENCY = Metric(f"{_OWN}stage_latency", (*_LATENCY_LABELS, "stage"), _MICROSECONDS)
METRICS = {metric.name: metric for metric in list(globals().values()) if isinstance(metric, Metric)}


@dataclass
class _Cells:
    """The counts of requests with the same model, method, transport and status code."""

    model: str
    counts: list[list[float]]
    latency: list[float] | None = None
    runtime: tuple[list[float], ...] | None = None


class Metrics:
    """The counts of one process; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Snapshot = {name: {} for name in METRICS}
        self._cells: dict[tuple[str, str, str, str], _Cells] = {}
        self._models: set[str] = set()
        self._unknown_models: set[str] = set()

    def observe(self, request: Observation) -> None:
        """Counts a request. TensorFlow Serving's own metrics count over gRPC inference only."""
        key = (request.model, request.api, request.entrypoint, request.code)
        with self._lock:
            cells = self._cells.get(key) or self._new_cells(key, request)
            for count in cells.counts:
                count[0] += 1
            if request.code != "OK":
                return
            if cells.latency:
                _put(cells.latency, request.total_seconds)
            if request.runtime_seconds:
                runtime, *stages = cells.runtime or self._new_runtime(cells, request)
                queue_seconds, runtime_seconds = request.queue_seconds, request.runtime_seconds
                _put(runtime, queue_seconds + runtime_seconds)
                _put(stages[0], queue_seconds)
                _put(stages[1], runtime_seconds)
                _put(stages[2], request.codec_seconds)
            if request.api in _EXAMPLE_APIS and request.rows is not None:
                self._add(EXAMPLE_COUNTS, request.rows, cells.model)
                self._add(EXAMPLE_TOTAL, request.rows, cells.model)

    def batched(self, statistics: BatchStatistics) -> None:
        """Counts a batched request, and the batches that it was first in."""
        with self._lock:
            self._add(QUEUING_LATENCY, statistics.queue_seconds * 1e6, "")
            for _ in range(statistics.inputs):
                self._add(INPUT_BATCH_SIZE, statistics.rows)
            for size, padding in statistics.batches:
                self._add(WRAPPED_RUN_COUNT, 1)
                self._add(PROCESSED_BATCH_SIZE, size)
                self._add(PADDING_SIZE, padding, str(size))

    def warmed_up(self, path: Path, seconds: float, code: str, records: int) -> None:
        """Counts a warmup: the version's folder, seconds, name of the status code, records."""
        with self._lock:
            self._add(WARMUP_LATENCY, seconds * 1e6, str(path), code)
            self._add(WARMUP_RECORDS, records, str(path))

    def snapshot(self) -> Snapshot:
        """Returns a copy of all counts, which can be serialized as JSON."""
        with self._lock:
            return {
                name: {labels: list(counts) for labels, counts in by_labels.items()}
                for name, by_labels in self._counts.items()
            }

    def _cell(self, metric: Metric, *labels: str) -> list[float]:
        """Returns the counts of a metric and labels, at first zeros."""
        size = len(metric.limits) + 2 if metric.limits else 1
        key = _SEPARATOR.join([label.replace(_SEPARATOR, "\ufffd") for label in labels])
        return self._counts[metric.name].setdefault(key, [0] * size)

    def _add(self, metric: Metric, value: float, *labels: str) -> None:
        counts = self._cell(metric, *labels)
        if metric.limits:
            counts[bisect_right(metric.limits, value)] += 1
        counts[-1] += value

    def _new_cells(self, key: tuple[str, str, str, str], request: Observation) -> _Cells:
        model = self._model(request)
        labels = (model, _api(request), request.entrypoint)
        cells = _Cells(model, [self._cell(REQUESTS, *labels, request.code)])
        if request.entrypoint == "REST" or request.api in _COUNTED_APIS:
            cells.counts.append(self._cell(REQUEST_COUNT, model, request.code))
            if request.code == "OK":
                api = "" if request.api in _UNNAMED_APIS else labels[1]
                cells.latency = self._cell(REQUEST_LATENCY, model, api, request.entrypoint)
        if model != _OTHER:
            self._cells[key] = cells
        return cells

    def _new_runtime(self, cells: _Cells, request: Observation) -> tuple[list[float], ...]:
        labels = (cells.model, _api(request), request.entrypoint)
        cells.runtime = (
            self._cell(RUNTIME_LATENCY, cells.model, request.api, "TF1"),
            *(self._cell(STAGE_LATENCY, *labels, stage) for stage in _STAGES),
        )
        return cells.runtime

    def _model(self, request: Observation) -> str:
        """Returns the model's name, or a common one if too many unknown names were requested."""
        name = request.model
        if request.version is not None:
            self._models.add(name)
        if name in self._models or name in self._unknown_models:
            return name
        if len(self._unknown_models) < _MAX_UNKNOWN_MODELS and len(name) <= _MAX_NAME_LENGTH:
            self._unknown_models.add(name)
            return name
        return _OTHER


def _put(counts: list[float], seconds: float) -> None:
    value = seconds * 1e6
    counts[bisect_right(_MICROSECONDS, value)] += 1
    counts[-1] += value


def _api(request: Observation) -> str:
    """Returns the method's name; for inference over REST that of the path."""
    if request.entrypoint == "REST" and request.api in _COUNTED_APIS:
        return request.api.lower()
    return request.api


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Returns the sum of the counts of several processes."""
    total: Snapshot = {name: {} for name in METRICS}
    for snapshot in snapshots:
        for name, by_labels in snapshot.items():
            for labels, counts in by_labels.items():
                known = total[name].get(labels)
                total[name][labels] = (
                    [a + b for a, b in zip(known, counts, strict=True)] if known else counts
                )
    return total


def page(snapshot: Snapshot) -> str:
    """Returns counts in Prometheus' text format."""
    lines: list[str] = []
    for name in sorted(METRICS):
        metric = METRICS[name]
        lines.append(f"# TYPE {name} {'histogram' if metric.limits else 'counter'}")
        for labels, counts in sorted(snapshot.get(name, {}).items()):
            values = labels.split(_SEPARATOR) if metric.labels else []
            inner = ",".join(
                f'{label}="{_escaped(value)}"'
                for label, value in zip(metric.labels, values, strict=True)
            )
            if metric.limits:
                lines += _histogram(metric, inner, counts)
            else:
                lines.append(f"{name}{{{inner}}} {_number(counts[0])}")
    return "\n".join(lines) + "\n"


def _histogram(metric: Metric, inner: str, counts: Sequence[float]) -> Iterable[str]:
    comma = "," if inner else ""
    below = 0.0
    for limit, count in zip((*metric.limits, None), counts[:-1], strict=True):
        below += count
        limit_text = "+Inf" if limit is None else f"{limit:g}"
        yield f'{metric.name}_bucket{{{inner}{comma}le="{limit_text}"}} {_number(below)}'
    yield f"{metric.name}_sum{{{inner}}} {_number(counts[-1])}"
    yield f"{metric.name}_count{{{inner}}} {_number(below)}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
