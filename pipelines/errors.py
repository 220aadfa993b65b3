"""Errors that a user can mend: one sentence each, shown without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """A choice that cannot work; the message says what, and what is allowed. Exit code 2."""


class ValidationError(Exception):
    """An exported SavedModel that does not do what the trained model does. Exit code 1."""
