"""How long a model takes to answer a request."""

from __future__ import annotations

import time

import numpy as np
import tensorflow as tf

from pipelines.export.signature import Signature

_REQUESTS = 50
_SECONDS = 2.0


def milliseconds(signature: Signature) -> float:
    """Returns the median time of a request for one example, in ms, without a server around it.

    The graph is that of the SavedModel; at most 50 requests, or 2 seconds of them, follow the one
    that traces it.
    """
    request = [tf.constant(signature.examples[name][:1]) for name in signature.inputs]
    graph = tf.function(signature.function)
    graph(*request)
    times: list[float] = []
    while len(times) < _REQUESTS and sum(times) < _SECONDS:
        start = time.perf_counter()
        for answer in graph(*request).values():
            answer.numpy()
        times.append(time.perf_counter() - start)
    return 1000 * float(np.median(times))
