"""A process that has loaded nothing but TensorFlow, as one that serves a SavedModel has.

    python -m pipelines.export.fresh MODULE ARGUMENT ...

runs a module there, which prints its result as JSON. `run` runs that command.
"""

from __future__ import annotations

import importlib
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipelines.errors import ValidationError

_ROOT = Path(__file__).resolve().parent.parent.parent


def run(module: str, *paths: Path) -> Any:
    """Runs a module with files and folders as its arguments; returns what it prints.

    Raises:
        ValidationError: It failed, as TensorFlow refused the SavedModel or ended with the process.
    """
    arguments = [str(path.resolve()) for path in paths]
    command = [sys.executable, "-m", "pipelines.export.fresh", module, *arguments]
    child = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_ROOT)
    if child.returncode != 0:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        raise ValidationError(f"the SavedModel failed in a fresh process: {last}")
    return json.loads(child.stdout.splitlines()[-1])


def _import_tensorflow() -> None:
    """Imports TensorFlow without Keras, which takes two fifths of the time.

    A SavedModel needs nothing of Keras; where TF-Text does, it imports it then.
    """
    sys.modules["keras"] = None  # type: ignore[assignment]  # Its import fails, which is caught.
    try:
        importlib.import_module("tensorflow")
    finally:
        del sys.modules["keras"]


if __name__ == "__main__":
    _import_tensorflow()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
