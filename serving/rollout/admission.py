"""What a SavedModel must be before its graph runs: the files that are meant, no unsafe ops."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from serving.errors import RolloutError, UserError
from serving.rollout import model_repository
from serving.rollout.unsafe_ops import unsafe_ops


def admit(
    folder: Path, named: str, *, digest: str | None, allowed_ops: Collection[str] = ()
) -> str:
    """Returns the digest of a SavedModel that may be run.

    Args:
        folder: Its folder.
        named: What messages call it.
        digest: The digest of its files when they were registered or deployed; None if there is
            none.
        allowed_ops: Unsafe ops that it may have.

    Raises:
        RolloutError: Its files are others, or no SavedModel.
        UserError: It has unsafe ops that are not allowed.
    """
    try:
        there = model_repository.digest(folder)
        if digest and there != digest:
            raise RolloutError(
                f"the files of {named} are not those that were registered: they have changed since"
            )
        unsafe = set(unsafe_ops(folder)) - set(allowed_ops)
    except (OSError, ValueError) as error:
        raise RolloutError(f"{named} cannot be used: {error}") from error
    if unsafe:
        one = ",".join(sorted(unsafe))
        raise UserError(
            f"{named} can reach files, Python or the network by the ops {one.replace(',', ', ')}; "
            f"if you trust it: --allow_ops {one}"
        )
    return there
