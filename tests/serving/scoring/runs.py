"""Runs of scoring in the test's own process, and runners without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from serving.errors import ServingError
from serving.rollout.model_repository import Repository
from serving.scoring import model, run, sources
from serving.scoring.manifest import Output
from serving.scoring.shard import Runner, score
from serving.scoring.worker import load


def scored(
    folder: Path,
    given: Sequence[Path | str],
    output: Path,
    runner: Runner | None = None,
    **options: Any,
) -> tuple[int, int]:
    """Scores files with a SavedModel, as the command does; returns rows scored and rejected."""
    target = Output(output)
    with target.locked():
        found = model.find(str(folder), Repository(Path("models")), target.model)
        plan = run.plan(found, sources.find([*map(str, given)]), target, run.Options(**options))
        for shard in plan.shards:
            score(plan.job, shard, runner or load(folder))
        return run.finish(plan)


def table(output: Path) -> pa.Table:
    """Returns what any reader of Parquet finds in an output folder, in the rows' order."""
    return ds.dataset(output).to_table().sort_by([("file", "ascending"), ("row", "ascending")])


@dataclass
class Fake:
    """Answers from a function of the only input, and refuses batches that a test refuses.

    Attributes:
        answer: Returns the only output.
        bad: Whether a batch is refused.
        calls: Sizes of the batches.
    """

    answer: Callable[[np.ndarray], np.ndarray]
    bad: Callable[[np.ndarray], bool] = lambda values: False
    calls: list[int] = field(default_factory=list)

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]:
        [values] = feeds.values()
        self.calls.append(len(values))
        if self.bad(values):
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "that is a bad row")
        return [self.answer(values)]
