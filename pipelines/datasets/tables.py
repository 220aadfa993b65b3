"""A user's own tables: every value as the text that stands in the file.

A table is a CSV file, with `,`, `;`, tab or `|` between its fields; JSON lines; or Parquet. "01",
"1e5", "true" and "NA" stay what they are. Each row has exactly as many fields as the header.
PATH is a table for each split in a folder (`train.csv`, `validation.csv`, `test.csv`), or one
table, which is split by a recorded seed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from pipelines.config import Config
from pipelines.datasets import delimited, files, json_lines, splitting
from pipelines.datasets.splitting import SPLITS
from pipelines.errors import UserError

_DELIMITED = (".csv", ".tsv", ".tab")


@dataclass(frozen=True)
class Table:
    """Columns of a file.

    Attributes:
        path: The file.
        columns: By name, the text of each row; of JSON lines and Parquet a value may also be a
            list or a mapping, whose numbers are texts too.
        lines: The line of the file at which each row starts, or its number in Parquet.
        separator: What separates the fields of CSV; "" for one column and for other formats.
        notes: What was found and is worth knowing, in sentences.
        left_out: Number of rows that are left out.
        repeated: Names that several columns have, and that none is read of.
        unit: What `lines` counts, as "line" or "row".
    """

    path: Path
    columns: Mapping[str, Sequence[Any]]
    lines: Sequence[int]
    separator: str = ""
    notes: tuple[str, ...] = ()
    left_out: int = 0
    repeated: frozenset[str] = frozenset()
    unit: str = "line"

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: Sequence[int] | np.ndarray) -> Table:
        """Returns the table with some of its rows."""
        columns = {name: [column[i] for i in rows] for name, column in self.columns.items()}
        return replace(self, columns=columns, lines=[self.lines[i] for i in rows])

    def place(self, row: int) -> str:
        """Returns where a row is, as "FILE, line 7"."""
        return f"{self.path}, {self.unit} {self.lines[row]}"


def is_table(path: Path) -> bool:
    """Returns whether a file's ending is that of a table."""
    return path.suffix.lower() in READERS


def read(path: Path, config: Config) -> Table:
    """Reads a whole table.

    Raises:
        UserError: The file cannot be read, has no rows, or a row has more or fewer fields than the
            header and `skip_bad` is false.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    if not is_table(path):
        raise UserError(
            f"{path} is not a table: its name must end in {files.one_of(list(READERS))}"
        )
    table = READERS[path.suffix.lower()](path, config)
    if not len(table):
        raise UserError(f"{path} has no rows")
    return table


def holds_tables(path: Path) -> bool:
    """Returns whether a path is a table, or a folder with a table in it."""
    return is_table(path) if path.is_file() else any(map(is_table, files.children(path)))


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
    found = {"": path} if path.is_file() else files.of_splits(path, READERS)
    if not found:
        found = _only_table(path)
    complete = complete or (lambda table: without_empty(table, config))
    tables = {}
    for split, file in found.items():
        table = read(file, config)
        check_columns(table, columns, optional)
        kept = [name for name in (*columns, *optional) if name in table.columns]
        tables[split] = complete(
            replace(table, columns={name: table.columns[name] for name in kept})
        )
    first, *_ = tables
    for table in tables.values():
        if table.columns.keys() != tables[first].columns.keys():
            raise UserError(
                f"the tables in {path} differ in their columns: {tables[first].path.name} has "
                f"{', '.join(tables[first].columns)}, {table.path.name} has "
                f"{', '.join(table.columns)}"
            )
    if others := _others(path, found.values()):
        note = f"{others[0]} is not read: its name is not that of a split"
        note += f"; nor {files.number(len(others) - 1, 'more table')}" * (len(others) > 1)
        tables[first] = replace(tables[first], notes=(*tables[first].notes, note))
    return tables


def _others(path: Path, found: Collection[Path]) -> list[Path]:
    """Returns the tables in a folder that are not among those found."""
    if path.is_file():
        return []
    return [file for file in files.children(path) if is_table(file) and file not in found]


def with_all_splits(
    tables: Mapping[str, Table], config: Config, label: str, group: str = ""
) -> dict[str, Table]:
    """Returns tables of all three splits: those that are missing are cut off from train.

    Args:
        tables: By split; "" for what is not split.
        config: Has the seed.
        label: The column that a split is stratified by, or "".
        group: Rows with the same value in this column are in one split; "" stands for all columns
            but the label.

    Raises:
        UserError: There is no table to train on, or it has too few rows to be split.
    """
    whole = tables.get("train", tables.get(""))
    if whole is None:
        place = next(iter(tables.values())).path.parent
        raise UserError(f"{place} has no table train; it has: {', '.join(tables)}")
    missing = [split for split in SPLITS if split != "train" and split not in tables]
    if not missing:
        return {split: tables[split] for split in SPLITS}
    contents = [group] if group else [name for name in whole.columns if name != label]
    labels = whole.columns[label] if label else None
    keys = _keys(whole, contents)
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
        by = f"{files.number(len(set(keys)), f'different {group}')}, " if group else ""
        raise UserError(
            f"{whole.path} has too few different rows{each} for a {empty[0]} split of its own "
            f"({by}{files.number(len(whole), 'row')} in all)"
        )
    every = {**tables, **cut}
    return {split: every[split] for split in SPLITS}


def _keys(table: Table, columns: Sequence[str]) -> list[str]:
    """Returns what each row holds in some columns."""
    contents = [table.columns[name] for name in columns]
    return [json.dumps(values, default=repr) for values in zip(*contents, strict=True)]


def digest(tables: Mapping[str, Table]) -> str:
    """Returns 12 hexadecimal digits that change with the rows of any split."""
    sha = hashlib.sha256()
    for split, table in tables.items():
        rows = json.dumps([split, *table.columns.items()], default=repr)
        sha.update(hashlib.sha256(rows.encode()).digest())
    return sha.hexdigest()[:12]


def notes(tables: Mapping[str, Table]) -> tuple[str, ...]:
    """Returns what is worth knowing about the tables of a data set."""
    return tuple(dict.fromkeys(note for table in tables.values() for note in table.notes))


def check_columns(table: Table, columns: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Raises `UserError` unless a table has the columns, and each of them and the others once."""
    if twice := [name for name in (*columns, *optional) if name in table.repeated]:
        raise UserError(f"{table.path} has two columns {twice[0]!r}")
    missing = [name for name in columns if name not in table.columns]
    if missing:
        names = [*table.columns, *sorted(table.repeated)]
        # Without any of the names the first row may be one of data.
        found = set(columns) & set(names) or table.path.suffix.lower() not in _DELIMITED
        hint = "" if found else " (the first row has to name the columns)"
        raise UserError(
            f"{table.path} has no column {missing[0]!r}; it has: {', '.join(names)}{hint}"
        )


def without_empty(table: Table, config: Config) -> Table:
    """Returns the table if each row has a value in each column, or else what is left of it.

    Raises:
        UserError: A value is empty, and `skip_bad` is false; or all rows have one.
    """
    bad = {
        row: name
        for name, column in table.columns.items()
        for row, value in enumerate(column)
        if value is None or (isinstance(value, str) and not value.strip())
    }
    return leave_out(table, {row: f"{name!r} is empty" for row, name in bad.items()}, config)


def of_texts(table: Table, config: Config) -> Table:
    """Returns the table with a text in each column of each row, or else what is left of it.

    Raises:
        UserError: A value is empty or no text, and `skip_bad` is false; or this is so in all rows.
    """
    return without_empty(with_texts(table, config), config)


def with_texts(table: Table, config: Config) -> Table:
    """Returns the table with a text, which may be empty, in each column of each row.

    Bytes, as Parquet may hold them, are read as UTF-8.

    Raises:
        UserError: A value is no text, and `skip_bad` is false; or this is so in all rows.
    """
    columns = {name: list(map(_decoded, values)) for name, values in table.columns.items()}
    problems = {
        row: f"{name!r} is not a text, but {str(value)[:40]}"
        for name, column in columns.items()
        for row, value in enumerate(column)
        if not isinstance(value, str)
    }
    return leave_out(replace(table, columns=columns), problems, config)


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode()
    return "" if value is None else value


def leave_out(table: Table, problems: Mapping[int, str], config: Config) -> Table:
    """Returns the table without the rows that have a problem.

    Args:
        table: The table.
        problems: By row, what is wrong with it.
        config: Says whether such rows may be left out.

    Raises:
        UserError: There is a problem, and `skip_bad` is false; or no row is without one.
    """
    if not problems:
        return table
    first = min(problems)
    others = f", and {files.number(len(problems) - 1, 'more bad row')}" * (len(problems) > 1)
    sentence = f"{table.place(first)}: {problems[first]}{others}"
    if not config.skip_bad:
        raise UserError(f"{sentence}; mend it, or pass --skip_bad true to leave such rows out")
    kept = [row for row in range(len(table)) if row not in problems]
    if not kept:
        raise UserError(f"{table.path} has no good row: {sentence}")
    note = f"left out: {files.number(len(problems), 'row')} of {table.path}; {sentence}"
    return replace(
        table.take(kept),
        notes=(*table.notes, note),
        left_out=table.left_out + len(problems),
    )


def joined(path: Path, parts: Sequence[Table]) -> Table:
    """Returns several tables with the same columns as one of `path`, a folder; one as it is."""
    if len(parts) == 1:
        return parts[0]
    return Table(
        path,
        {name: [v for part in parts for v in part.columns[name]] for name in parts[0].columns},
        [line for part in parts for line in part.lines],
        notes=(
            f"{len(parts)} files are read as one: {parts[0].path} to {parts[-1].path}",
            *(note for part in parts for note in part.notes),
        ),
        left_out=sum(part.left_out for part in parts),
    )


def _only_table(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"there is no file or folder {folder}")
    found = [path for path in files.children(folder) if is_table(path)]
    if len(found) != 1:
        raise UserError(
            f"{folder} needs train.csv, validation.csv and test.csv (or .tsv, .jsonl, .parquet), "
            f"or one table; it holds {files.describe(folder)}"
        )
    return {"": found[0]}


def _csv(path: Path, config: Config) -> Table:
    text, notes = files.read_exactly(path, config.encoding)
    found = delimited.parse(path, text, config.separator)
    repeated, header = _repeated(found.header), found.header
    columns = {
        name: [row[i] for row in found.rows]
        for i, name in enumerate(header)
        if name not in repeated
    }
    table = Table(
        path, columns, found.lines, found.separator, (*notes, *found.notes), repeated=repeated
    )
    return leave_out(table, found.problems, config)


def _repeated(names: Sequence[str]) -> frozenset[str]:
    return frozenset(name for name, number in Counter(names).items() if number > 1)


def _json_lines(path: Path, config: Config) -> Table:
    rows, lines, notes = json_lines.read(path, config)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    return Table(path, columns, lines, notes=tuple(notes))


def _parquet(path: Path, config: Config) -> Table:
    try:
        table = pyarrow.parquet.ParquetFile(path).read()
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{path} cannot be read as Parquet: {reason}") from error
    # A column that pandas kept as its index is a column like any other.
    repeated = _repeated(table.column_names)
    columns = {
        name: json_lines.as_texts(column.to_pylist())
        for name, column in zip(table.column_names, table.columns, strict=True)
        if name not in repeated
    }
    lines = range(1, table.num_rows + 1)
    return Table(path, columns, lines, repeated=repeated, unit="row")


READERS: Mapping[str, Callable[[Path, Config], Table]] = {
    **dict.fromkeys(_DELIMITED, _csv),
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}
