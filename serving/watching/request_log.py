"""A sample of a request log: the quantities of what a model was asked and has answered."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from drift.quantities import Values, measure
from drift.reference import Reference
from serving.errors import UserError
from serving.protocol import messages, tensors, tfrecord

_DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Sample:
    """What is known of a sample of requests.

    Attributes:
        values: By signature, the quantities of the examples in the sample.
        examples: By signature, their number.
        records: The number of requests in all files.
        first: When the first request of the sample was answered; None where that is not logged.
        last: When the last one was.
        left_out: Why requests, and how many of those that were read, are not in the sample.
        damaged: What is wrong with a file, in sentences.
    """

    values: dict[str, Values]
    examples: dict[str, int]
    records: int
    first: datetime.datetime | None
    last: datetime.datetime | None
    left_out: dict[str, int]
    damaged: list[str]


def find(names: Sequence[str]) -> list[Path]:
    """Returns the files of a log, of folders those whose names end in .tfrecord.

    Raises:
        UserError: There is no such file.
    """
    found: list[Path] = []
    for path in map(Path, names):
        if path.is_dir():
            found += sorted(path.glob("*.tfrecord"))
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"there is no file {path}")
    if not found:
        raise UserError(f"{', '.join(names)} has no file whose name ends in .tfrecord")
    return found


def sample(
    files: Sequence[Path], model: str, version: int, reference: Reference, most: int
) -> Sample:
    """Reads requests in random order, the same one each time, until there are enough examples.

    Args:
        files: TFRecords of PredictionLog.
        model: The model.
        version: The version that has answered.
        reference: Its reference: the signatures that can be compared.
        most: The number of examples that is enough.

    Raises:
        UserError: A file cannot be read.
    """
    places, damaged = _places(files)
    values: dict[str, dict[str, list[np.ndarray]]] = {}
    examples: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    seconds: list[int] = []
    words = frozenset(reference.words)
    for index in np.random.default_rng(0).permutation(len(places)):
        if examples.total() >= most:
            break
        entry = _read(*places[index])
        reason, signature = _reason(entry, model, version, reference)
        if reason:
            left_out[reason] += 1
            continue
        log = entry.predict_log
        try:
            own = measure(_arrays(log.request.inputs), _arrays(log.response.outputs), words)
        except ValueError:
            left_out["cannot be read"] += 1
            continue
        for name, column in own.items():
            values.setdefault(signature, {}).setdefault(name, []).append(column)
        examples[signature] += max(map(len, own.values()), default=0)
        if entry.log_metadata.timestamp_secs:
            seconds.append(entry.log_metadata.timestamp_secs)
    times = [datetime.datetime.fromtimestamp(s, datetime.UTC) for s in sorted(seconds)]
    joined = {
        signature: {name: np.concatenate(columns) for name, columns in of_signature.items()}
        for signature, of_signature in values.items()
    }
    return Sample(
        joined,
        dict(examples),
        len(places),
        times[0] if times else None,
        times[-1] if times else None,
        dict(left_out),
        damaged,
    )


def _places(files: Sequence[Path]) -> tuple[list[tuple[Path, int]], list[str]]:
    """Returns where each record begins, and what is wrong with files, of which the rest counts."""
    places: list[tuple[Path, int]] = []
    damaged: list[str] = []
    for path in files:
        begin = 0
        try:
            for end in tfrecord.ends(path):
                places.append((path, begin))
                begin = end
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:  # A file that is being written, or whose server was killed.
            damaged.append(f"{error}; what is before it counts")
    return places, damaged


def _read(path: Path, offset: int) -> Any:
    """Returns a record; None for one that is damaged."""
    record, intact = next(tfrecord.read_from(path, offset, 1))
    try:
        return messages.PredictionLog.FromString(record) if intact else None
    except DecodeError:
        return None


def _reason(entry: Any, model: str, version: int, reference: Reference) -> tuple[str, str]:
    """Returns why a record is left out, "" for no reason; and its signature."""
    if entry is None:
        return "cannot be read", ""
    if not entry.HasField("predict_log"):
        return "not of Predict", ""
    asked, answered = entry.predict_log.request.model_spec, entry.predict_log.response.model_spec
    if asked.name != model:
        return "of another model", ""
    if answered.version.value != version:
        return f"answered by version {answered.version.value}", ""
    signature = asked.signature_name or _DEFAULT_SIGNATURE
    if signature not in reference.profiles:
        return f"to {signature}, which the reference does not have", ""
    return "", signature


def _arrays(protos: Any) -> dict[str, np.ndarray]:
    return {name: tensors.decode(proto) for name, proto in protos.items()}
