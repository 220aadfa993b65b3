"""Score one shard: the same function in a local process and in an actor of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc
import numpy as np
import pyarrow as pa

from serving.client.calls import Signature
from serving.errors import ServingError, UserError
from serving.scoring import inputs, outputs
from serving.scoring.columns import FILE, ROW, Mapped
from serving.scoring.formats.rows import Chunk, Shard
from serving.scoring.inputs import Values
from serving.scoring.manifest import Output
from serving.scoring.sources import reader

# Rows of lists of several lengths are sorted into batches among so many.
_BATCHES_AHEAD = 16
# Codes with which a model refuses what is in a row; others say that it cannot run at all.
_OF_ROWS = (
    *(grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.DATA_LOSS),
    *(grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.FAILED_PRECONDITION),
)


class Runner(Protocol):
    """A loaded SavedModel."""

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> list[np.ndarray]: ...


@dataclass(frozen=True)
class Job:
    """What all shards have in common.

    Attributes:
        model: Folder of the SavedModel.
        signature: The signature.
        mapped: The columns.
        format: Format of the input.
        schema: Columns of the output.
        output: The output folder.
        batch_size: Rows of a batch at most.
    """

    model: Path
    signature: Signature
    mapped: Mapped
    format: str
    schema: pa.Schema
    output: Output
    batch_size: int

    @property
    def chunk(self) -> int:
        """Rows that are read together."""
        varies = any(
            info.shape is None or None in info.shape[1:] for info in self.signature.inputs.values()
        )
        return self.batch_size * (_BATCHES_AHEAD if varies else 1)


@dataclass(frozen=True)
class Done:
    """A shard's part is written: its number, the rows scored and the rows rejected."""

    number: int
    rows: int
    rejected: int


def score(
    job: Job, shard: Shard, runner: Runner, advance: Callable[[int], object] = lambda rows: None
) -> Done:
    """Writes the part of a shard.

    Args:
        job: What to do.
        shard: The rows.
        runner: The model.
        advance: Called with a number of rows that are done.

    Raises:
        ServingError: The model cannot run.
        UserError: The file cannot be read or the part not be written, or the answers have no value
            for each row.
    """
    try:
        return _score(job, shard, runner, advance)
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"rows {shard.start}-{shard.stop - 1} of {shard.path} cannot be read, or their part "
            f"not be written to {job.output.path}: {error}"
        ) from error


def _score(job: Job, shard: Shard, runner: Runner, advance: Callable[[int], object]) -> Done:
    output, rows = job.output, 0
    target, rejected = output.part(shard.number), output.rejected_part(shard.number)
    with outputs.part(target, rejected, job.schema) as part:
        for chunk in reader(job.format).read(shard, job.mapped.read, job.chunk):
            faults = dict(chunk.faults)
            table = _scored(job, shard, chunk, runner, faults)
            if table is not None:
                part.add(table)
            for place in sorted(faults):
                part.reject(*_place(shard, chunk, place), faults[place])
            rows += chunk.size
            advance(chunk.size)
        if rows != shard.stop - shard.start:
            raise UserError(
                f"{shard.path} changed while it was read: it has {rows} rows from row "
                f"{shard.start} on, not {shard.stop - shard.start}"
            )
    return Done(shard.number, part.rows, part.rejected)


def _scored(
    job: Job, shard: Shard, chunk: Chunk, runner: Runner, faults: dict[int, str]
) -> pa.Table | None:
    """Returns the scored rows of a chunk, None if there are none; adds the others to `faults`."""
    mapped, infos = job.mapped, job.signature.inputs
    given = {
        name: inputs.values(chunk.columns[column.name], infos[name], column.name, faults)
        for name, column in mapped.inputs.items()
    }
    own = {
        name: outputs.kept(chunk.columns[column.name], column.type, column.name, faults)
        for name, column in mapped.kept.items()
    }
    places = [_place(shard, chunk, place) for place in range(chunk.size)]
    own |= {
        FILE: pa.array([file for file, _ in places], pa.string()),
        ROW: pa.array([row for _, row in places], pa.int64()),
    }
    good = [place for place in range(chunk.size) if place not in faults]
    answers = []
    for rows, feeds in inputs.batches(given, good, job.batch_size):
        for answered, columns in _answers(job, runner, given, rows, feeds, faults):
            answers.append((answered, columns))
    return outputs.table(job.schema, own, answers) if answers else None


def _answers(
    job: Job,
    runner: Runner,
    given: Mapping[str, Values],
    rows: list[int],
    feeds: Mapping[str, np.ndarray],
    faults: dict[int, str],
) -> Iterator[tuple[list[int], dict[str, pa.Array]]]:
    """Yields places of rows with the columns of their outputs.

    A batch that the model refuses is halved until the rows are found that it refuses alone.
    """
    infos = job.signature
    named = {infos.inputs[name].name: array for name, array in feeds.items()}
    try:
        arrays = runner.run(named, [info.name for info in infos.outputs.values()])
    except ServingError as error:
        if error.code not in _OF_ROWS:
            raise
        if len(rows) == 1:
            faults[rows[0]] = error.message.partition("\n")[0]
            return
        half = len(rows) // 2
        for part in (rows[:half], rows[half:]):
            yield from _answers(job, runner, given, part, inputs.take(given, part), faults)
        return
    columns = {}
    for (name, info), array in zip(infos.outputs.items(), arrays, strict=True):
        try:
            kind = job.schema.field(name).type
            columns[name] = outputs.column(array, info, kind, len(rows))
        except ValueError as error:
            raise UserError(
                f"signature {job.mapped.signature} does not answer row by row: its output {name} "
                f"{error}"
            ) from error
    yield rows, columns


def _place(shard: Shard, chunk: Chunk, place: int) -> tuple[str, int]:
    """Returns the file and the number of a row in it; an image is the only row of its file."""
    row = chunk.start + place
    return (shard.images[row - shard.start], 0) if shard.images else (shard.path, row)
