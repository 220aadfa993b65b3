"""`foundry project FOLDER`: an MLflow project of the installed pipelines.

    foundry project my_project
    export MLFLOW_TRACKING_URI="sqlite:///$PWD/mlruns/mlflow.db"    # the store of `foundry train`
    mlflow run my_project -e image_classification --env-manager=local -P epochs=3

The project has one file, MLproject, whose commands run in the environment that has `foundry`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines import mlproject, store


def main(arguments: Sequence[str], prog: str) -> int:
    """Writes MLproject, and returns the exit code: 0, or 2 for a user error."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Writes an MLflow project, whose entry points are the pipelines of this "
        "installation, into a folder.",
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--force", action="store_true", help="replace an MLproject that is there")
    options = parser.parse_args(arguments)
    file: Path = options.folder / "MLproject"
    if file.exists() and not options.force:
        print(f"error: {file} exists; --force replaces it", file=sys.stderr)
        return 2
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(".MLproject.partial")
        partial.write_text(mlproject.text(mlproject.INSTALLED), encoding="utf-8")
        os.replace(partial, file)
    except OSError as error:
        print(f"error: {file} cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    print(f"wrote {file.resolve()}")
    print(f"next  export MLFLOW_TRACKING_URI={shlex.quote(store.tracking_uri())}")
    project = shlex.quote(str(options.folder))
    print(f"      mlflow run {project} -e image_classification --env-manager=local -P epochs=3")
    return 0
