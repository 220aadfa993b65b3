"""Tables in three splits: a table for each, or one that is split by a recorded seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.config import Config
from pipelines.datasets import files, splitting, tables, text_columns
from pipelines.datasets.splitting import SPLITS
from pipelines.datasets.tables import Table
from pipelines.datasets.text_columns import as_json
from pipelines.errors import UserError


def read_splits(
    path: Path,
    config: Config,
    columns: Sequence[str],
    optional: Sequence[str] = (),
    label: str = "",
    complete: Callable[[Table], Table] | None = None,
) -> dict[str, Table]:
    """Reads the table of each split; what is not split yet is split by `config.split_seed`.

    Rows with the same values in `columns` and `optional` but the label are in one split.

    Args:
        path: A folder of tables, or one table.
        config: Has the options of own data.
        columns: The columns that a table needs, each with a value in each row.
        optional: Columns that are read where train has them.
        label: The column that a split is stratified by.
        complete: Checks a table and returns it with the rows that count; by default
            `without_empty`, for all columns.

    Raises:
        UserError: A table is missing, cannot be read, or lacks a column or a value.
    """
    return with_all_splits(read_given(path, config, columns, optional, complete), config, label)


def read_given(
    path: Path,
    config: Config,
    columns: Sequence[str],
    optional: Sequence[str] = (),
    complete: Callable[[Table], Table] | None = None,
) -> dict[str, Table]:
    """Reads the tables that there are, by split, or the only one, as "".

    Arguments and errors are those of `read_splits`.
    """
    found = {"": path} if path.is_file() else files.of_splits(path, tables.READERS)
    if not found:
        found = _only_table(path)
    complete = complete or (lambda table: tables.without_empty(table, config))
    names = (*columns, *optional)
    read = {
        split: tables.with_names(tables.read(file, config), names) for split, file in found.items()
    }
    read, left_out = _with_labels(read, columns)
    given = {}
    for split, table in read.items():
        tables.check_columns(table, columns, optional)
        kept = [name for name in names if name in table.columns]
        given[split] = complete(
            replace(table, columns={name: table.columns[name] for name in kept})
        )
    first, *_ = given
    for table in given.values():
        if table.columns.keys() != given[first].columns.keys():
            raise UserError(
                f"the tables in {path} differ in their columns: {given[first].path.name} has "
                f"{', '.join(given[first].columns)}, {table.path.name} has "
                f"{', '.join(table.columns)}"
            )
    if others := _others(path, found.values()):
        note = f"{others[0]} is not read: its name is not that of a split"
        note += f"; nor {files.number(len(others) - 1, 'more table')}" * (len(others) > 1)
        left_out = (*left_out, note)
    given[first] = replace(given[first], notes=(*given[first].notes, *left_out))
    return given


def _with_labels(
    read: Mapping[str, Table], columns: Sequence[str]
) -> tuple[dict[str, Table], tuple[str, ...]]:
    """Returns the tables without one of test that lacks just the last column, and a note of it.

    Competitions keep the labels of their test to themselves.
    """
    test, *others = [read.get("test"), *(table for split, table in read.items() if split != "test")]
    *inputs, label = columns
    if (
        test is None
        or not inputs
        or "train" not in read
        or label in (*test.columns, *test.repeated)
        or any(name not in test.columns for name in inputs)
        or any(label not in table.columns for table in others)
    ):
        return dict(read), ()
    note = (
        f"{test.path} is left out, as it has no column {label!r} to test by: the test split is cut "
        f"off from {read['train'].path}"
    )
    return {split: table for split, table in read.items() if split != "test"}, (note,)


def _others(path: Path, found: Collection[Path]) -> list[Path]:
    """Returns the tables in a folder that are not among those found."""
    if path.is_file():
        return []
    return [file for file in files.children(path) if tables.is_table(file) and file not in found]


def with_all_splits(
    given: Mapping[str, Table], config: Config, label: str, group: str = ""
) -> dict[str, Table]:
    """Returns tables of all three splits: those that are missing are cut off from train.

    Args:
        given: By split; "" for what is not split.
        config: Has the seed.
        label: The column that a split is stratified by, or "".
        group: Rows with the same value in this column are in one split; "" stands for all columns
            but the label.

    Raises:
        UserError: There is no table to train on, or it has too few rows to be split.
    """
    whole = given.get("train", given.get(""))
    if whole is None:
        place = next(iter(given.values())).path.parent
        raise UserError(f"{place} has no table train; it has: {', '.join(given)}")
    missing = [split for split in SPLITS if split != "train" and split not in given]
    if not missing:
        return {split: given[split] for split in SPLITS}
    contents = [group] if group else [name for name in whole.columns if name != label]
    labels = whole.columns[label] if label else None
    keys, different = splitting.numbered(_keys(whole, contents))
    rows = splitting.stratified(keys, labels, config.split_seed, missing)
    note = (
        f"{whole.path} is split into {', '.join(rows)} by --split_seed {config.split_seed}; "
        f"{f'rows with the same {group}' if group else 'equal rows'} are in one split"
    )
    cut = {split: whole.take(chosen) for split, chosen in rows.items()}
    cut["train"] = replace(cut["train"], notes=(*whole.notes, note))
    for split in missing:
        cut[split] = replace(cut[split], notes=(), left_out=0)
    if empty := [split for split, table in cut.items() if not len(table)]:
        each = f" of each {label}" if label else ""
        by = f"{files.number(different, f'different {group}')}, " if group else ""
        raise UserError(
            f"{whole.path} has too few different rows{each} for a {empty[0]} split of its own "
            f"({by}{files.number(len(whole), 'row')} in all)"
        )
    every = {**given, **cut}
    return {split: every[split] for split in SPLITS}


def at_most(tables: Mapping[str, Table], config: Config) -> dict[str, Table]:
    """Returns tables with no more than `config.max_examples` rows each, drawn at random."""
    most, seed = config.max_examples, config.split_seed
    if not most:
        return dict(tables)
    return {
        split: table.take(splitting.at_most(range(len(table)), most, seed))
        for split, table in tables.items()
    }


def _keys(table: Table, columns: Sequence[str]) -> np.ndarray:
    """Returns 64 bits of a digest of what each row holds in some columns, int64 [rows].

    Two rows that share them by chance would be in one split, which does no harm.
    """
    rows = zip(*(table.columns[name] for name in columns), strict=True)
    return text_columns.digests(json.dumps(row, default=repr) for row in rows)


def digest(tables: Mapping[str, Table]) -> str:
    """Returns 12 hexadecimal digits that change with the rows of any split."""
    sha = hashlib.sha256()
    for split, table in tables.items():
        own = hashlib.sha256(f"[{json.dumps(split)}".encode())
        for name, column in table.columns.items():
            own.update(f", [{json.dumps(name)}, ".encode())
            for part in as_json(column):
                own.update(part.encode())
            own.update(b"]")
        own.update(b"]")
        sha.update(own.digest())
    return sha.hexdigest()[:12]


def notes(tables: Mapping[str, Table]) -> tuple[str, ...]:
    """Returns what is worth knowing about the tables of a data set."""
    return tuple(dict.fromkeys(note for table in tables.values() for note in table.notes))


def joined(path: Path, parts: Sequence[Table]) -> Table:
    """Returns several tables with the same columns as one of `path`, a folder; one as it is."""
    if len(parts) == 1:
        return parts[0]
    names = list(parts[0].columns)
    return Table(
        path,
        {name: text_columns.joined([part.columns[name] for part in parts]) for name in names},
        np.concatenate([np.asarray(part.lines, np.int64) for part in parts]),
        notes=(
            f"{len(parts)} files are read as one: {parts[0].path} to {parts[-1].path}",
            *(note for part in parts for note in part.notes),
        ),
        left_out=sum(part.left_out for part in parts),
    )


def _only_table(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"there is no file or folder {folder}")
    found = [path for path in files.children(folder) if tables.is_table(path)]
    if len(found) != 1:
        raise UserError(
            f"{folder} needs train.csv, validation.csv and test.csv (or .tsv, .jsonl, .parquet), "
            f"or one table; it holds {files.describe(folder)}"
        )
    return {"": found[0]}
