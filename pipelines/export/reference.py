"""The reference that a SavedModel carries: what validation, and its answers to it, are like.

`python -m serving watch` compares requests with it. It is a summary: it has no example, but the
frequent words of the training texts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from drift.quantities import Values, frequent_words, is_image_file, measure
from drift.reference import Reference, joined, profile, write
from pipelines.datasets.dataset import Dataset
from pipelines.task import Task

# Validation examples, of each signature, that are summarized.
_EXAMPLES = 512
# Training texts that are read for the frequent words, and the number of these.
_TRAINING_TEXTS, _WORDS = 20_000, 5_000
_BATCH_SIZE = 32

# By signature, arrays by input.
Requests = Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Asked:
    """What a SavedModel is asked to get its reference.

    Attributes:
        requests: Validation examples as clients would send them.
        words: The frequent words of the training texts; none where inputs are no texts.
        measured: Quantities that requests have no more: sizes of image files before resizing.
    """

    requests: Requests
    words: Sequence[str] = ()
    measured: Values = field(default_factory=dict)


def of(task: Task, data: Dataset) -> Asked:
    """Returns what a task's SavedModel is asked."""
    requests = task.requests(data, "validation", _EXAMPLES)
    words: list[str] = []
    if any(_texts(inputs) for inputs in requests.values()):
        training = task.requests(data, "train", _TRAINING_TEXTS)
        columns = [column for inputs in training.values() for column in _texts(inputs)]
        texts = (text.decode(errors="replace") for column in columns for text in column)
        words = frequent_words(texts, _WORDS)
    sizes = getattr(data, "original_sizes", {}).get("validation")
    if sizes is None:
        return Asked(requests, words)
    names = ("input image_bytes: height", "input image_bytes: width")
    return Asked(requests, words, dict(zip(names, sizes.astype(np.float64).T, strict=True)))


def _texts(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Returns the inputs that are texts, bytes [examples]."""
    strings = (column for column in inputs.values() if column.dtype == object and column.ndim == 1)
    return [column for column in strings if not any(map(is_image_file, column))]


def logs(asked: Asked, signatures: Collection[str]) -> list[PredictionLog]:
    """Returns requests in batches, in turn those of the signatures that the SavedModel has."""
    found = []
    sizes = [len(column) for inputs in asked.requests.values() for column in inputs.values()]
    for start in range(0, max(sizes, default=0), _BATCH_SIZE):
        for signature, inputs in asked.requests.items():
            if signature not in signatures:
                continue
            log = PredictionLog()
            request = log.predict_log.request
            request.model_spec.signature_name = signature
            for name, column in inputs.items():
                batch = tf.make_tensor_proto(column[start : start + _BATCH_SIZE])
                request.inputs[name].CopyFrom(batch)
            found.append(log)
    return found


def add(folder: Path, asked: Asked, answered: Iterable[PredictionLog]) -> None:
    """Writes the reference into a SavedModel, from requests with its answers."""
    batches: dict[str, list[Values]] = {}
    for log in answered:
        request, response = log.predict_log.request, log.predict_log.response
        values = measure(
            {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()},
            {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()},
            asked.words,
        )
        batches.setdefault(request.model_spec.signature_name, []).append(values)
    profiles = {}
    for signature, each in batches.items():
        values = joined(each)
        known = {name: column for name, column in asked.measured.items() if name in values}
        profiles[signature] = profile({**values, **known})
    if profiles:
        write(folder, Reference(profiles, asked.words))
