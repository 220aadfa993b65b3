"""Golden requests: requests that a version was validated with at its export, and their answers.

`assets.extra/golden_requests` holds TFRecords of PredictionLog with requests and responses,
`assets.extra/golden_tolerances.json` the tolerances of floats by signature.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from serving.client import Client
from serving.errors import RolloutError, ServingError
from serving.protocol import messages, tensors, tfrecord

REQUESTS = "assets.extra/golden_requests"
TOLERANCES = "assets.extra/golden_tolerances.json"
REPEATS = 5


@dataclass(frozen=True)
class Golden:
    """A request with its expected answer.

    Attributes:
        signature: Key of the signature.
        inputs: Array by input.
        outputs: Array by output.
        absolute: Absolute tolerance of floats.
        relative: Relative tolerance of floats, in addition: a fraction of the value.
    """

    signature: str
    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    absolute: float
    relative: float


@dataclass(frozen=True)
class Validation:
    """Results of golden requests.

    Attributes:
        requests: Number of requests.
        differences: By SIGNATURE/OUTPUT, the largest difference of a float; 0 for other types.
        latency: By signature, the slowest request's median in milliseconds.
        signatures: By key, the dtype and shape of each of the version's inputs and outputs.
    """

    requests: int
    differences: dict[str, float]
    latency: dict[str, float]
    signatures: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)

    @property
    def slowest(self) -> float:
        return max(self.latency.values(), default=0.0)


def read(version: Path) -> list[Golden]:
    """Returns the golden requests of a SavedModel; none if it carries none.

    Raises:
        RolloutError: The files are damaged or do not fit together.
    """
    path = version / REQUESTS
    if not path.exists():
        return []
    try:
        tolerances = json.loads((version / TOLERANCES).read_text(encoding="utf-8"))
        return [_golden(record, tolerances) for record in tfrecord.read(path)]
    except (OSError, ValueError, KeyError, TypeError, DecodeError) as error:
        raise RolloutError(f"the golden requests cannot be read: {error}") from error


def _golden(record: bytes, tolerances: Mapping[str, Any]) -> Golden:
    log = messages.PredictionLog.FromString(record)
    if not log.HasField("predict_log"):
        raise ValueError("a record is no request to Predict")
    signature = log.predict_log.request.model_spec.signature_name
    allowed = tolerances[signature]
    return Golden(
        signature,
        {name: tensors.decode(proto) for name, proto in log.predict_log.request.inputs.items()},
        {name: tensors.decode(proto) for name, proto in log.predict_log.response.outputs.items()},
        float(allowed["absolute"]),
        float(allowed["relative"]),
    )


def replay(
    client: Client,
    model: str,
    version: int,
    goldens: Sequence[Golden],
    *,
    budget: float,
    repeats: int = REPEATS,
) -> Validation:
    """Sends a served version all of its golden requests.

    Args:
        client: Connection to the server.
        model: Served name.
        version: The version.
        goldens: The requests.
        budget: Milliseconds that the median of a request's repetitions may take.
        repeats: How often each is sent.

    Raises:
        RolloutError: An answer is missing, outside the tolerances, or takes too long.
    """
    differences: dict[str, float] = {}
    latency: dict[str, float] = {}
    for golden in goldens:
        taken = []
        for _ in range(repeats):
            start = time.perf_counter()
            try:
                answer = client.predict(
                    model, golden.inputs, signature=golden.signature, version=version
                )
            except ServingError as error:
                raise RolloutError(
                    f"{model} version {version} does not answer its golden request to "
                    f"{golden.signature}: {error.message}"
                ) from error
            taken.append(1000 * (time.perf_counter() - start))
            for name, difference in check(golden, answer).items():
                key = f"{golden.signature}/{name}"
                differences[key] = max(differences.get(key, 0.0), difference)
        median = statistics.median(taken)
        if median > budget:
            raise RolloutError(
                f"{golden.signature} takes {median:.1f} ms (median of {repeats}), where the "
                f"latency budget is {budget:g} ms"
            )
        latency[golden.signature] = max(latency.get(golden.signature, 0.0), median)
    return Validation(len(goldens), differences, latency)


def check(golden: Golden, answer: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Compares an answer with the golden one.

    Returns:
        The largest difference of each output.

    Raises:
        RolloutError: It is outside the tolerances.
    """
    signature = golden.signature
    if sorted(answer) != sorted(golden.outputs):
        raise RolloutError(
            f"{signature} answers {', '.join(sorted(answer))}, "
            f"not {', '.join(sorted(golden.outputs))} as at its export"
        )
    differences = {}
    for name, expected in golden.outputs.items():
        found = answer[name]
        if found.dtype != expected.dtype or found.shape != expected.shape:
            raise RolloutError(
                f"{signature}/{name} is {found.dtype} {found.shape}, "
                f"not {expected.dtype} {expected.shape} as at its export"
            )
        if expected.dtype.kind not in "fcV":  # bfloat16 is of kind V.
            if wrong := int((found != expected).sum()):
                raise RolloutError(
                    f"{signature}/{name} differs from the golden answer in {wrong} of "
                    f"{expected.size} values"
                )
            differences[name] = 0.0
            continue
        difference = distances(found, expected)
        differences[name] = float(difference.max(initial=0.0))
        size = np.nan_to_num(np.abs(expected.astype(_wide(expected))), posinf=0.0)
        if not (difference <= golden.absolute + golden.relative * size).all():
            raise RolloutError(
                f"{signature}/{name} differs from the golden answer by up to "
                f"{differences[name]:.2g}, where {golden.absolute:g} + {golden.relative:g} of the "
                "value is allowed"
            )
    return differences


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns absolute differences, float64; those of equal infinities and of two NaNs are 0."""
    one, other = one.astype(_wide(one)), other.astype(_wide(other))
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        difference = np.where(same, 0.0, np.abs(one - other))
    return np.where(np.isnan(difference), np.inf, difference)


def _wide(array: np.ndarray) -> type:
    return np.complex128 if array.dtype.kind == "c" else np.float64
