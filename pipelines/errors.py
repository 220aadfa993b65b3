"""Errors of a run: one sentence each, shown without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """An option or input that cannot be used; the message says which, and what is allowed.

    Exit code 2.
    """


class ValidationError(Exception):
    """An exported SavedModel that does not compute what the trained model does. Exit code 1."""


class TrainingError(Exception):
    """A training that cannot go on, as its loss is no number any more. Exit code 1."""
