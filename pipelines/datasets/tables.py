"""A user's own tables: every value as the text that stands in the file.

A table is a CSV file, with `,`, `;`, tab or `|` between its fields; JSON lines; or Parquet. "01",
"1e5", "true" and "NA" stay what they are. Each row has exactly as many fields as the header.
PATH is a table for each split in a folder (`train.csv`, `validation.csv`, `test.csv`), or one
table, which is split by a recorded seed.
"""

from __future__ import annotations

import contextlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from pipelines.config import Config
from pipelines.datasets import delimited, encodings, files, json_lines
from pipelines.datasets.text_columns import (
    Builder,
    Column,
    Numbers,
    column_of,
    columns_of,
    is_text,
    taken,
)
from pipelines.errors import UserError

_DELIMITED = (".csv", ".tsv", ".tab")
# Of Parquet, as many are texts of Python at once.
_ROWS = 1 << 14


@dataclass(frozen=True)
class Table:
    """Columns of a file.

    Attributes:
        path: The file.
        columns: By name, the text of each row, see `text_columns`; of JSON lines and Parquet a
            value may also be a list or a mapping, whose numbers are texts too.
        lines: The line of the file at which each row starts, or its number in Parquet.
        separator: What separates the fields of CSV; "" for one column and for other formats.
        notes: What was found and is worth knowing, in sentences.
        left_out: Number of rows that are left out.
        repeated: Names that several columns have, and that none is read of.
        unit: What `lines` counts, as "line" or "row".
    """

    path: Path
    columns: Mapping[str, Column]
    lines: Sequence[int] | np.ndarray
    separator: str = ""
    notes: tuple[str, ...] = ()
    left_out: int = 0
    repeated: frozenset[str] = frozenset()
    unit: str = "line"

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: Sequence[int] | np.ndarray) -> Table:
        """Returns the table with some of its rows."""
        columns = {name: taken(column, rows) for name, column in self.columns.items()}
        return replace(self, columns=columns, lines=taken(np.asarray(self.lines), rows))

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


def with_names(table: Table, names: Sequence[str]) -> Table:
    """Returns the table with these names where its own differ in letter case alone, as "Text"."""
    own = Counter(name.casefold() for name in [*table.columns, *table.repeated])
    wanted = {
        name.casefold(): name
        for name in names
        if name not in table.columns and own[name.casefold()] == 1
    }
    columns = {wanted.get(name.casefold(), name): x for name, x in table.columns.items()}
    return replace(table, columns=columns)


def check_columns(table: Table, columns: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Raises `UserError` unless a table has the columns, and each of them and the others once."""
    if twice := [name for name in (*columns, *optional) if name in table.repeated]:
        raise UserError(f"{table.path} has two columns {twice[0]!r}")
    missing = [name for name in columns if name not in table.columns]
    if missing:
        names = [*table.columns, *sorted(table.repeated)]
        # Without any of the names the first row may be one of data.
        found = len(columns) == 1 or set(columns) & set(names)
        may_be_data = not found and table.path.suffix.lower() in _DELIMITED
        hint = " (the first row has to name the columns)" if may_be_data else ""
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
        if value is None or (isinstance(value, str) and not has_text(value))
    }
    return leave_out(table, {row: f"{name!r} is empty" for row, name in bad.items()}, config)


def has_text(value: str) -> bool:
    """Returns whether a text has anything to see: more than spaces and marks without a width."""
    return any(not x.isspace() and unicodedata.category(x) not in ("Cf", "Cc") for x in value)


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
    columns = {
        name: values if is_text(values) else column_of(map(_decoded, values))
        for name, values in table.columns.items()
    }
    problems = {
        row: f"{name!r} is not a text, but {str(value)[:40]}"
        for name, column in columns.items()
        if not is_text(column)
        for row, value in enumerate(column)
        if not isinstance(value, str)
    }
    kept = leave_out(replace(table, columns=columns), problems, config)
    packed = {
        name: column if is_text(column) else column_of(column)
        for name, column in kept.columns.items()
    }
    return replace(kept, columns=packed)


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


def _csv(path: Path, config: Config) -> Table:
    file = encodings.opened(path, config.encoding)
    found = delimited.parse(path, file.exact, config.separator)
    repeated, header = _repeated(found.header), found.header
    columns = {
        name: column
        for name, column in zip(header, found.columns, strict=True)
        if name not in repeated
    }
    table = Table(
        path, columns, found.lines, found.separator, (*file.notes, *found.notes), repeated=repeated
    )
    return leave_out(table, found.problems, config)


def _repeated(names: Sequence[str]) -> frozenset[str]:
    return frozenset(name for name, number in Counter(names).items() if number > 1)


def of_objects(path: Path, config: Config) -> Table:
    """Reads JSON objects as rows, which may be none.

    Raises:
        UserError: The file cannot be read, or has something else.
    """
    rows, notes = json_lines.read(path, config)
    lines = Numbers("q")

    def values() -> Iterator[dict[str, Any]]:
        for row, line in rows:
            lines.append(line)
            yield row

    return Table(path, columns_of(values()), lines, notes=tuple(notes))


def _parquet(path: Path, config: Config) -> Table:
    try:
        file = pyarrow.parquet.ParquetFile(path)
        # A column that pandas kept as its index is a column like any other.
        names = file.schema_arrow.names
        repeated = _repeated(names)
        columns = {name: Builder() for name in names if name not in repeated}
        for batch in file.iter_batches(_ROWS):
            for name, values in zip(names, batch.columns, strict=True):
                if name in columns:
                    columns[name].append(json_lines.as_texts(values.to_pylist()))
    except (OSError, pyarrow.ArrowException) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{path} cannot be read as Parquet: {reason}") from error
    lines = range(1, file.metadata.num_rows + 1)
    found = {name: builder.column() for name, builder in columns.items()}
    return Table(path, found, lines, repeated=repeated, unit="row")


READERS: Mapping[str, Callable[[Path, Config], Table]] = {
    **dict.fromkeys(_DELIMITED, _csv),
    ".jsonl": of_objects,
    ".ndjson": of_objects,
    ".parquet": _parquet,
}
