"""A user's own tables: every value as the text that stands in the file.

A table is a CSV file, with `,`, `;`, tab or `|` between its fields; JSON lines; or Parquet. "01",
"1e5", "true" and "NA" stay what they are. Each row has exactly as many fields as the header.
PATH is a table for each split in a folder (`train.csv`, `validation.csv`, `test.csv`), or one
table, which is split by a recorded seed.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from pipelines.config import Config
from pipelines.datasets import files, splitting
from pipelines.datasets.splitting import SPLITS
from pipelines.errors import UserError

SEPARATORS = (",", ";", "\t", "|")
_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";"}
# Control character 31, which no text has.
_ONE_COLUMN = "\x1f"
_ROWS_TRIED = 200
# A field of a CSV file may be as long as a book.
_LONGEST = 1 << 28


@dataclass(frozen=True)
class Table:
    """Columns of a file.

    Attributes:
        path: The file.
        columns: By name, the text of each row; of JSON lines and Parquet a value may also be a
            list or a mapping, whose numbers are texts too.
        lines: The line of the file at which each row starts, or its number in Parquet.
        separator: What separates the fields of CSV; "" for one column, and for other formats.
        notes: What was found and is worth knowing, in sentences.
        left_out: Number of rows that are left out.
    """

    path: Path
    columns: Mapping[str, Sequence[Any]]
    lines: Sequence[int]
    separator: str = ""
    notes: tuple[str, ...] = ()
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: Sequence[int] | np.ndarray) -> Table:
        """Returns the table with some of its rows."""
        columns = {name: [column[i] for i in rows] for name, column in self.columns.items()}
        return replace(self, columns=columns, lines=[self.lines[i] for i in rows])

    def place(self, row: int) -> str:
        """Returns where a row is, as "FILE, line 7"."""
        kind = "row" if self.path.suffix.lower() == ".parquet" else "line"
        return f"{self.path}, {kind} {self.lines[row]}"


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
    found = {"": path} if path.is_file() else files.of_splits(path, READERS)
    if not found:
        found = _only_table(path)
    complete = complete or (lambda table: without_empty(table, config))
    tables = {}
    for split, file in found.items():
        table = read(file, config)
        check_columns(table, columns)
        kept = [name for name in (*columns, *optional) if name in table.columns]
        tables[split] = complete(
            replace(table, columns={name: table.columns[name] for name in kept})
        )
    first = next(iter(tables.values()))
    for table in tables.values():
        if table.columns.keys() != first.columns.keys():
            raise UserError(
                f"the tables in {path} differ in their columns: {first.path.name} has "
                f"{', '.join(first.columns)}, {table.path.name} has {', '.join(table.columns)}"
            )
    return with_all_splits(tables, config, label)


def with_all_splits(tables: Mapping[str, Table], config: Config, label: str) -> dict[str, Table]:
    """Returns tables of all three splits: those that are missing are cut off from train.

    Args:
        tables: By split; "" for what is not split.
        config: Has the seed.
        label: The column that a split is stratified by, or "".
    """
    whole = tables.get("train", tables.get(""))
    if whole is None:
        place = next(iter(tables.values())).path.parent
        raise UserError(f"{place} has no table train; it has: {', '.join(tables)}")
    missing = [split for split in SPLITS if split != "train" and split not in tables]
    if not missing:
        return {split: tables[split] for split in SPLITS}
    contents = [name for name in whole.columns if name != label]
    keys = [
        json.dumps([whole.columns[name][row] for name in contents]) for row in range(len(whole))
    ]
    labels = whole.columns[label] if label else None
    rows = splitting.stratified(keys, labels, config.split_seed, missing)
    note = (
        f"{whole.path} is split into {', '.join(rows)} by --split_seed {config.split_seed}; "
        "equal rows are in one split"
    )
    cut = {split: whole.take(chosen) for split, chosen in rows.items()}
    cut["train"] = replace(cut["train"], notes=(*whole.notes, note))
    for split in missing:
        cut[split] = replace(cut[split], notes=(), left_out=0)
    if empty := [split for split, table in cut.items() if not len(table)]:
        raise UserError(
            f"{whole.path} has too few rows ({len(whole)}) for a {empty[0]} split of its own"
        )
    every = {**tables, **cut}
    return {split: every[split] for split in SPLITS}


def check_columns(table: Table, columns: Sequence[str]) -> None:
    """Raises `UserError` unless a table has the columns."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise UserError(
            f"{table.path} has no column {missing[0]!r}; it has: {', '.join(table.columns)}"
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
    others = f", and {len(problems) - 1} more rows are bad" if len(problems) > 1 else ""
    sentence = f"{table.place(first)}: {problems[first]}{others}"
    if not config.skip_bad:
        raise UserError(f"{sentence}; mend it, or pass --skip_bad true to leave such rows out")
    kept = [row for row in range(len(table)) if row not in problems]
    if not kept:
        raise UserError(f"{table.path} has no good row: {sentence}")
    note = f"{len(problems)} rows of {table.path} are left out; {sentence}"
    return replace(
        table.take(kept),
        notes=(*table.notes, note),
        left_out=table.left_out + len(problems),
    )


def json_lines(path: Path, config: Config) -> tuple[list[dict[str, Any]], list[int], list[str]]:
    """Reads a JSON object a line; numbers and booleans become the texts that stand in the file.

    Returns:
        The objects, their lines, and notes.

    Raises:
        UserError: A line is no JSON object.
    """
    text, notes = files.read_text(path, config.encoding)
    rows, lines = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise UserError(f"{path}, line {number}: a JSON object is needed, not {line[:40]!r}")
        rows.append({str(key): _texts(value) for key, value in row.items()})
        lines.append(number)
    return rows, lines, notes


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
    text, notes = files.read_text(path, config.encoding)
    separator = _NAMES.get(config.separator.lower(), config.separator)
    if len(separator) > 1:
        raise UserError(f"--separator must be one character, or tab, not {separator!r}")
    # Excel's own line about its separator.
    if (first := re.match(r"sep=(.)\n", text)) and not separator:
        separator, text = first[1], "\n" + text[first.end() :]
    separator = separator or _separator(path, text)
    rows = _records(path, text, separator)
    header, _ = next(rows, ([], 0))
    header = [name.strip() for name in header]
    if twice := [name for name, number in Counter(header).items() if number > 1 and name]:
        raise UserError(f"{path} has two columns {twice[0]!r}")
    kept, lines, problems = [], list[int](), dict[int, str]()
    for number, (row, line) in enumerate(rows):
        if len(row) != len(header):
            problems[number] = f"{len(row)} fields, but the header has {len(header)}"
            if len(row) > len(header):
                problems[number] += f"; a text that contains {_name(separator)} needs quotes"
            row = (row + [""] * len(header))[: len(header)]
        kept.append(row)
        lines.append(line)
    columns = {name: [row[i] for row in kept] for i, name in enumerate(header)}
    table = Table(path, columns, lines, separator.strip(_ONE_COLUMN), tuple(notes))
    return leave_out(table, problems, config)


def _records(path: Path, text: str, separator: str) -> Iterator[tuple[list[str], int]]:
    """Yields the records of a CSV text that are not blank, each with the line it starts at."""
    csv.field_size_limit(_LONGEST)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(
                f"{path}, line {line}: {error}; a quote that is part of a text is written twice, "
                "and its text in quotes"
            ) from error
        if len(row) > 1 or (row and row[0].strip()):
            yield row, line
        line = reader.line_num + 1


def _separator(path: Path, text: str) -> str:
    """Returns the separator: the one in the header; of several, the one that fits all rows.

    Without one in the header there is one column, and a comma in a row is part of its text.
    """
    header = next((line for line in text.split("\n") if line.strip()), "")
    candidates = [one for one in SEPARATORS if one in header]
    if len(candidates) > 1:
        candidates = [one for one in candidates if _fits(path, text, one)] or candidates
    if len(candidates) > 1:
        raise UserError(
            f"{path} may be separated by {files.one_of([_name(one) for one in candidates])}; "
            "pass --separator"
        )
    return candidates[0] if candidates else _ONE_COLUMN


def _fits(path: Path, text: str, separator: str) -> bool:
    """Returns whether the first rows have as many fields as the header."""
    try:
        rows = list(itertools.islice(_records(path, text, separator), _ROWS_TRIED))
    except UserError:
        return False
    return len({len(row) for row, _ in rows}) == 1


def _name(separator: str) -> str:
    return "tab" if separator == "\t" else f"{separator!r}"


def _json_lines(path: Path, config: Config) -> Table:
    rows, lines, notes = json_lines(path, config)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    return Table(path, columns, lines, notes=tuple(notes))


def _parquet(path: Path, config: Config) -> Table:
    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{path} cannot be read as Parquet: {reason}") from error
    # A column that pandas kept as its index is a column like any other.
    columns = {str(name): _texts(table[name].to_pylist()) for name in table.column_names}
    return Table(path, columns, range(1, table.num_rows + 1))


def _texts(value: Any) -> Any:
    """Returns a value, or the values in it, as text; nothing stays nothing."""
    if isinstance(value, list):
        return [_texts(one) for one in value]
    if isinstance(value, dict):
        return {name: _texts(one) for name, one in value.items()}
    if value is None or value != value:  # NaN is not equal to itself.
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, bytes) else str(value)


READERS: Mapping[str, Callable[[Path, Config], Table]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".tab": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}
