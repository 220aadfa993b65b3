"""What all processes of a model server share: log format, exit codes, the import of TensorFlow."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable

from serving.errors import ServingError, UserError


def set_up_logging(name: str = "") -> None:
    """Logs to stderr in TensorFlow Serving's format, with the name of the process if it has one."""
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s %(levelname).1s {name}%(name)s] %(message)s"
    )


def exit_code(run: Callable[[], int]) -> int:
    """Runs a process's work and returns its exit code; errors for the user become one line.

    0: it was told to stop. 1: a model could not be loaded. 2: a flag or a file is wrong.
    """
    try:
        return run()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ServingError as error:
        print(f"Failed to start server. Error: {error}", file=sys.stderr)
        return 1


def import_tensorflow() -> None:
    """Imports TensorFlow without Keras, which takes two fifths of the time.

    TensorFlow imports Keras to register Python classes for SavedModels, which a session does not
    use. A later use of `tf.keras`, as by TF-Text, imports it.
    """
    if "tensorflow" in sys.modules or "keras" in sys.modules:
        return
    sys.modules["keras"] = None  # type: ignore[assignment]  # Its import fails, which is caught.
    try:
        importlib.import_module("tensorflow")
    finally:
        del sys.modules["keras"]
