"""Request logs and references for tests, without a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from drift import reference
from drift.quantities import measure
from drift.reference import Reference, profile
from serving.protocol import messages, tensors

MODEL, SIGNATURE = "m", "serving_default"


def images(count: int, seed: int, light: float = 1.0) -> np.ndarray:
    """Returns images of various brightness, uint8 [count, 4, 4, 1]."""
    random = np.random.default_rng(seed)
    base = random.uniform(100, 200, (count, 1, 1, 1)) + random.uniform(0, 50, (count, 4, 4, 1))
    return (light * base).astype(np.uint8)


def answers(inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the class of images by their brightness."""
    bright = inputs.mean((1, 2, 3)) > 170
    return {"classes": np.where(bright, b"day", b"night").astype(object)}


def entry(inputs: np.ndarray, *, version: int = 1, model: str = MODEL, **changes: Any) -> Any:
    """Returns a PredictionLog of a request."""
    found = messages.PredictionLog()
    found.log_metadata.timestamp_secs = changes.get("time", 1_700_000_000)
    request, response = found.predict_log.request, found.predict_log.response
    request.model_spec.name = response.model_spec.name = model
    request.model_spec.signature_name = changes.get("signature", "")
    response.model_spec.version.value = version
    tensors.encode(request.inputs["images"], inputs)
    for name, array in answers(inputs).items():
        tensors.encode(response.outputs[name], array)
    return found


def write(path: Path, entries: Iterable[Any]) -> Path:
    """Writes a log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for each in entries:
            writer.write(each if isinstance(each, bytes) else each.SerializeToString())
    return path


def batches(inputs: np.ndarray, size: int = 10) -> list[Any]:
    """Returns entries of as many examples each."""
    return [entry(inputs[start : start + size]) for start in range(0, len(inputs), size)]


def recorded(count: int = 300) -> Reference:
    """Returns the reference of images."""
    own: Mapping[str, np.ndarray] = {"images": images(count, 0)}
    return Reference({SIGNATURE: profile(measure(own, answers(own["images"])))})


def version(repository: Path, number: int = 1) -> Path:
    """Writes a version with its reference into a repository, and that it is stable."""
    folder = repository / MODEL / str(number)
    folder.mkdir(parents=True)
    reference.write(folder, recorded())
    (repository / "models.config").write_text(
        f'model_config_list {{ config {{ name: "{MODEL}" base_path: "/{MODEL}" '
        'model_platform: "tensorflow" '
        f"model_version_policy {{ specific {{ versions: {number} }} }} "
        f'version_labels {{ key: "stable" value: {number} }} }} }}'
    )
    return folder
