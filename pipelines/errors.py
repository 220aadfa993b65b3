"""Errors of a run: one sentence each, shown without a traceback."""

from __future__ import annotations

import errno

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(Exception):
    """An option or input that cannot be used; the message says which, and what is allowed.

    Exit code 2.
    """


class ValidationError(Exception):
    """An exported SavedModel that does not compute what the trained model does. Exit code 1."""


class TrainingError(Exception):
    """A training that cannot go on, as its loss is no number any more. Exit code 1."""


class DivergenceError(TrainingError):
    """A training whose loss or weights became infinite or no number."""


class StoreError(Exception):
    """A tracking store that failed a run that had begun, as one that was full. Exit code 1."""


class UnsentError(Exception):
    """A tracking server that stays away; the message says where what it did not get is kept.

    Exit code 1.
    """


def disk_is_full(error: BaseException | None) -> bool:
    """Returns whether an error, or what caused it, is that of a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        # SQLite and TensorFlow have errors of their own.
        if "disk is full" in str(error) or "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
