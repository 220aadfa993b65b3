"""What a SavedModel costs to serve: its size, and the time to load it, warm it up, and answer.

    python -m pipelines.export.fresh pipelines.export.measurement SAVED_MODEL

measures in a process that has loaded nothing else, and prints the result as JSON. `measure` runs
that command.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from pipelines.export import fresh
from pipelines.export.logs import WARMUP_FILE, read_logs
from pipelines.export.ops import ops, text_ops

_REQUESTS = 100
_SECONDS = 2.0


@dataclass(frozen=True)
class Measurement:
    """What a SavedModel costs to serve.

    Attributes:
        megabytes: Size of its graph and weights on disk, in 10^6 bytes.
        load_seconds: From its files to a session with its weights.
        warmup_seconds: For the first answers to its warmup requests.
        milliseconds: Median time of a request for one example to `serving_default` after that.
    """

    megabytes: float
    load_seconds: float
    warmup_seconds: float
    milliseconds: float


def measure(folder: Path) -> Measurement:
    """Measures a SavedModel in a fresh process.

    Raises:
        ValidationError: It cannot be loaded there, or fails on one of its warmup requests.
    """
    return Measurement(**fresh.run("pipelines.export.measurement", folder))


def measured(folder: Path) -> Measurement:
    """Measures a SavedModel in this process, through a session, as model servers run it."""
    if text_ops(ops(folder)):
        import tensorflow_text  # noqa: F401  (registers its ops)
    requests = [log.predict_log.request for log in read_logs(folder / WARMUP_FILE)]
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        start = time.perf_counter()
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        load_seconds = time.perf_counter() - start
        calls = [_call(session, graph.signature_def, request) for request in requests]
        start = time.perf_counter()
        for call in calls:
            call()
        warmup_seconds = time.perf_counter() - start
        return Measurement(
            megabytes=megabytes(folder),
            load_seconds=load_seconds,
            warmup_seconds=warmup_seconds,
            milliseconds=1000 * _seconds(calls[0]),
        )


def _call(
    session: tf.compat.v1.Session, signatures: Any, request: PredictRequest
) -> Callable[[], Any]:
    """Returns a function that runs a request."""
    signature = signatures[request.model_spec.signature_name]
    inputs = [(signature.inputs[name].name, proto) for name, proto in request.inputs.items()]
    outputs = [info.name for info in signature.outputs.values()]
    values = [tf.make_ndarray(proto) for _, proto in inputs]
    run = session.make_callable(outputs, feed_list=[name for name, _ in inputs])
    return lambda: run(*values)


def _seconds(call: Callable[[], Any]) -> float:
    """Returns the median time of a call; at most 100 calls, or 2 seconds of them."""
    times: list[float] = []
    while len(times) < _REQUESTS and sum(times) < _SECONDS:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def megabytes(folder: Path) -> float:
    """Returns the size of what a server loads: neither warmup records nor examples."""
    files = [folder / "saved_model.pb", *(folder / "variables").rglob("*")]
    files += (folder / "assets").rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


if __name__ == "__main__":
    print(json.dumps(asdict(measured(Path(sys.argv[1])))))
