"""From a version's reference and a request log to the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from drift import reference
from drift.comparison import compare
from serving.errors import UserError
from serving.watching import request_log
from serving.watching.report import Report, ordered


def watch(model: str, version: int, saved_model: Path, logs: Sequence[str], *, most: int) -> Report:
    """Compares requests that a version has answered with its reference.

    Args:
        model: Served name.
        version: The version.
        saved_model: Its SavedModel.
        logs: Files or folders of a request log.
        most: The number of examples that are read.

    Raises:
        UserError: There is no reference, no log, or no request in it that can be compared.
    """
    try:
        known = reference.read(saved_model)
    except FileNotFoundError as error:
        raise UserError(
            f"{model} version {version} has no {reference.FILE}: its pipeline recorded none, or it "
            "was exported by an earlier release; train it again"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"the reference of {saved_model} cannot be read: {error}") from error
    sample = request_log.sample(request_log.find(logs), model, version, known, most)
    if not sample.values:
        reasons = [f"{count:,} {reason}" for reason, count in sorted(sample.left_out.items())]
        found = ", ".join([*reasons, *sample.damaged]) or "nothing"
        raise UserError(f"the log has no request to {model} version {version}, but {found}")
    compared = {
        signature: ordered(compare(known.profiles[signature], values))
        for signature, values in sorted(sample.values.items())
    }
    return Report(model, version, sample, compared)
