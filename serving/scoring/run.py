"""Score files with a model: plan the shards, or go on with a plan, run the engine, finish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

from serving.errors import UserError
from serving.scoring import columns, model
from serving.scoring.formats.rows import Column, Shard
from serving.scoring.manifest import Output, difference
from serving.scoring.model import Model
from serving.scoring.shard import Job
from serving.scoring.sources import Source


@dataclass(frozen=True)
class Options:
    """What may be chosen.

    Attributes:
        signature: The signature; empty for the one that fits.
        columns: Column by input.
        keep: Columns beside the outputs; None for the small ones.
        batch_size: Rows of a batch at most.
        rows_per_part: Rows of a part, about.
    """

    signature: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    keep: Sequence[str] | None = None
    batch_size: int = 64
    rows_per_part: int = 10_000


@dataclass(frozen=True)
class Plan:
    """What is to be scored, and how much of it is done.

    Attributes:
        job: What all shards have in common.
        manifest: The manifest.
        shards: The shards without a part.
        rows: Number of rows of all shards.
        done: Number of rows of shards that have a part.
    """

    job: Job
    manifest: dict[str, Any]
    shards: list[Shard]
    rows: int
    done: int


def plan(found: Model, given: Sequence[Source], output: Output, options: Options) -> Plan:
    """Returns the plan, and writes it into a new output folder; the caller holds its lock.

    Args:
        found: The model.
        given: The files.
        output: The folder, new or of an earlier run of the same.
        options: The choices.

    Raises:
        UserError: Columns do not fit, a file cannot be read, or the folder is of another run.
    """
    described = {"model": found.name, "version": found.version, "source": found.source}
    what: dict[str, Any] = {
        "model": described | {"digest": found.digest},
        "inputs": [each.described() for each in given],
    }
    manifest = output.manifest()
    _check(output, manifest, what)
    signatures = model.signatures(found.folder)
    mapped = columns.mapped(
        found.name,
        signatures,
        given[0].columns(),
        signature=options.signature,
        given=options.columns,
        keep=options.keep,
    )
    _check_columns(given, mapped.read)
    signature = signatures[mapped.signature]
    what |= {
        "signature": mapped.signature,
        "columns": {name: column.name for name, column in mapped.inputs.items()},
        "kept": {name: str(column.type) for name, column in mapped.kept.items()},
        "rows_per_part": options.rows_per_part,
    }
    _check(output, manifest, what)
    if manifest is None:
        ranges = [
            (index, *each)
            for index, source in enumerate(given)
            for each in source.ranges(options.rows_per_part)
        ]
        manifest = output.begin(what, ranges)
    metadata = {**described, "signature": mapped.signature, "digest": found.digest}
    job = Job(
        found.folder,
        signature,
        mapped,
        given[0].format,
        mapped.schema(signature, {f"scored_by.{key}": text for key, text in metadata.items()}),
        output,
        options.batch_size,
    )
    shards = [
        given[index].shard(number, *each)
        for number, (index, *each) in enumerate(manifest["shards"])
    ]
    missing = [shard for shard in shards if not output.part(shard.number).exists()]
    rows = sum(shard.stop - shard.start for shard in shards)
    left = sum(shard.stop - shard.start for shard in missing)
    return Plan(job, manifest, missing, rows, rows - left)


def finish(plan: Plan) -> tuple[int, int]:
    """Ends a run whose shards all have parts; returns the rows scored and the rows rejected."""
    output = plan.job.output
    numbers = range(len(plan.manifest["shards"]))
    scored = sum(pq.read_metadata(output.part(number)).num_rows for number in numbers)
    output.finish(plan.manifest, {"rows": scored, "rejected": plan.rows - scored})
    return scored, plan.rows - scored


def _check(output: Output, manifest: Mapping[str, Any] | None, what: Mapping[str, Any]) -> None:
    """Raises `UserError` if the manifest is of something else."""
    if manifest and (said := difference(manifest, what)):
        raise UserError(f"{output.path} holds scores of {said}; give another folder")


def _check_columns(given: Sequence[Source], needed: Sequence[Column]) -> None:
    """Raises `UserError` if a later file does not have a column as the first one has it."""
    if given[0].format not in ("parquet", "csv"):  # Elsewhere each row may have others.
        return
    for source in given[1:]:
        there = {column.name: column for column in source.columns()}
        for column in needed:
            other = there.get(column.name)
            if other is None or (other.kind != column.kind and not column.parsed):
                instead = f"it as {other}" if other else "no such column"
                raise UserError(
                    f"{given[0].path} has the column {column}, and {source.path} has {instead}; "
                    "score them apart, or choose the columns to --keep"
                )
