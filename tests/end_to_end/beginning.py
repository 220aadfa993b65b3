"""The beginning of a run: options, data and weights of a command are read, its network is built."""

from __future__ import annotations

import keras

from pipelines import run
from pipelines.cli import parse
from pipelines.config import check
from pipelines.training import trainer


def begun(arguments: list[str], *more: str) -> keras.Model:
    """Reads options, data and weights of a command as a run does, and returns its network."""
    pipeline, config = parse([*arguments, *more])
    check(config)
    config.check_paths()
    task, data = run.load(pipeline, config)
    return trainer.build(task, data).model
