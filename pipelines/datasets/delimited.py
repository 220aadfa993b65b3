"""CSV text, with `,`, `;`, tab or `|` between its fields, as records of one length.

A field with a separator, a line break or a quote is in quotes, in which a quote is written twice.
"""

from __future__ import annotations

import csv
import functools
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipelines.datasets import files
from pipelines.datasets.text_columns import Builder, Column, Numbers
from pipelines.errors import UserError

SEPARATORS = (",", ";", "\t", "|")
_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
# Of a table with one column, whose texts may have commas. No text has this character.
_NONE = "\uffff"
_ROWS_TRIED = 200
# Rows that are in memory at once.
_AT_ONCE = 1 << 14
# A field may be as long as a book.
_LONGEST = 1 << 28

# The fields of a record, and the line at which it starts.
Record = tuple[list[str], int]
# Reads the records of a text from the first one on; they are never all in memory.
Read = Callable[[], Iterator[Record]]
# Reads the lines of a text, with their ends as they are.
Lines = Callable[[], Iterable[str]]


@dataclass(frozen=True)
class Records:
    """The records of a CSV text.

    Attributes:
        header: The names in the first record, without spaces around them.
        columns: The fields of the others, a column for each name.
        lines: The line at which each row starts, int64 [rows].
        problems: By the number of a row, what is wrong with it.
        separator: What separates the fields; "" where there is one column.
        notes: What is worth knowing, in sentences.
    """

    header: Sequence[str]
    columns: Sequence[Column]
    lines: Numbers
    problems: Mapping[int, str]
    separator: str
    notes: Sequence[str]


def parse(path: Path, text: Lines, separator: str = "") -> Records:
    """Cuts a CSV text into records.

    Blank lines are no records, nor are the rows of separators alone with which spreadsheets end
    a table. Where all rows end in the same number of separators that the header lacks, or the
    other way round, these are no fields.

    Args:
        path: The file, for errors and notes.
        text: Reads its lines, with line breaks as in the file.
        separator: What separates its fields; empty recognizes it.

    Raises:
        UserError: The separator is none or not clear, or a quote is not closed.
    """
    separator = _NAMES.get(separator.lower(), separator)
    if len(separator) > 1 or separator in ('"', "\n", "\r"):
        raise UserError(f"--separator must be one character, or tab, not {separator!r}")
    # Excel's own line about its separator.
    first = next(iter(text()), "")
    if line := re.match(r'"?sep=([^\r\n"])"?(\r\n|\r|\n)', first, re.IGNORECASE):
        separator, text = separator or line[1], partial(_with_first, text, line[2])
    separator = separator or _separator(path, text)
    read, notes = _cut(path, text, separator)
    header = [column.strip() for column in next(read(), ([], 0))[0]]
    count, blank = _counts(read)
    if blank:
        notes.append(f"{path}: {files.number(blank, 'row')} at the end without any value")
    header, rows = _without_ends(header, lambda: itertools.islice(read(), 1, 1 + count))
    problems, lines, several = dict[int, str](), Numbers("q"), Numbers("q")

    @functools.cache
    def unnamed() -> bool:
        """Returns whether the rows have names, whose name R leaves out."""
        return {len(row) for row, _ in rows()} == {len(header) + 1}

    def fields() -> Iterator[list[str]]:
        for number, (row, at) in enumerate(rows()):
            whole = "".join(row)
            if "\n" in whole or "\r" in whole:
                several.append(at)
            lines.append(at)
            if len(row) == len(header):
                yield row
                continue
            # A field without a name may lack its separator: spreadsheets leave such out.
            if len(row) > len(header) or any(header[len(row) :]):
                problems[number] = (
                    f"{files.number(len(row), 'field')}, but the header has {len(header)}"
                )
                if len(row) > len(header):
                    problems[number] += f"; a text that contains {called(separator)} needs quotes"
                    if unnamed():
                        problems[number] += ", or the header lacks a name for the first column"
            yield (row + [""] * len(header))[: len(header)]

    builders, rest = [Builder() for _ in header], fields()
    while chunk := list(itertools.islice(rest, _AT_ONCE)):
        for builder, values in zip(builders, zip(*chunk, strict=True), strict=True):
            builder.append(values)
    if several:
        notes.append(
            f"{path}: {files.number(len(several), 'row')} with line breaks in quotes, the first in "
            f"line {several[0]}"
        )
    columns = [builder.column() for builder in builders]
    return Records(header, columns, lines, problems, separator.replace(_NONE, ""), notes)


def called(separator: str) -> str:
    """Returns what a separator is called in a sentence."""
    return "tab" if separator == "\t" else f"{separator!r}"


def _with_first(text: Lines, line: str) -> Iterator[str]:
    """Yields the lines of a text with another first one."""
    yield line
    yield from itertools.islice(text(), 1, None)


def _cut(path: Path, text: Lines, separator: str) -> tuple[Read, list[str]]:
    """Returns what reads the records of a text, and notes about their quotes.

    Between tabs many programs write quotes as they are: these are parts of the texts where they do
    not come in pairs, or where a pair would swallow the ends of lines that are whole rows.
    """
    if not any('"' in line for line in text()):
        return partial(_records, path, text, separator), []
    bare = partial(_without_quotes, text, separator)
    first_row, _ = next(bare(), ([], 0))
    regular = len({len(row) for row, _ in bare()}) == 1 and len(first_row) > 1
    tabs = separator == "\t"
    try:
        read = _with_quotes(path, text, separator)
    except UserError:
        if not (regular and tabs):
            raise
        reason = "as they do not come in pairs"
    else:
        long = [line for row, line in read() if any("\n" in x or "\r" in x for x in row)]
        # Of a header in quotes the texts are in quotes, too.
        if not regular or not long or any(field.startswith('"') for field in first_row):
            return read, _swallowing(path, read) if tabs else []
        if not tabs:
            return read, [_loud(path, long)]
        reason = "as each line is a row"
    first = next(line for row, line in bare() if any('"' in field for field in row))
    note = f"{path}: quotes are read as parts of the texts, {reason}; the first is in line {first}"
    return bare, [note]


def _swallowing(path: Path, read: Read) -> list[str]:
    """Returns a note if quotes between tabs hold lines that look like rows of their own."""
    if found := [
        line
        for row, line in read()
        for field in row
        if any(part.count("\t") == len(row) - 1 > 0 for part in re.split("[\r\n]+", field)[1:-1])
    ]:
        return [_loud(path, found)]
    return []


def _loud(path: Path, lines: Sequence[int]) -> str:
    return (
        f"{path}: {files.number(len(lines), 'text')} in quotes with lines that look like rows of "
        f"their own, the first in line {lines[0]}: if the quote there is part of a text, write it "
        "twice, and the text in quotes"
    )


def _with_quotes(path: Path, text: Lines, separator: str) -> Read:
    """Returns what reads a text; in `a, "b"`, too, the quotes are none of the field's.

    Raises:
        UserError: A quote is not closed.
    """
    plain = partial(_records, path, text, separator)
    spaced = partial(_records, path, text, separator, skip=True)
    apart = re.compile(f'{re.escape(separator)} +"')
    if not separator.isspace() and any(map(apart.search, text())) and _good(spaced):
        # A text that csv.writer wrote differs in its spaces alone.
        if not _good(plain) or any(
            _without_spaces(one) != _without_spaces(other)
            for one, other in itertools.zip_longest(plain(), spaced())
        ):
            return spaced
        return plain
    for _ in plain():
        pass
    return plain


def _good(read: Read) -> bool:
    """Returns whether there are records, and all can be read."""
    try:
        return sum(1 for _ in read()) > 0
    except UserError:
        return False


def _without_spaces(record: Record | None) -> Record | None:
    """Returns a record without the spaces before its fields."""
    return record and ([field.lstrip(" ") for field in record[0]], record[1])


def _records(path: Path, text: Lines, separator: str, skip: bool = False) -> Iterator[Record]:
    """Yields the records of a text, without blank lines, of which the first is not empty."""
    csv.field_size_limit(_LONGEST)
    reader = csv.reader(text(), delimiter=separator, strict=True, skipinitialspace=skip)
    line, columns = 1, 0
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason, hint = str(error), ""
            if _NONE in reason:
                reason = "text behind the quote that ends another"
                hint = "; fields between spaces need --separator ' '"
            raise UserError(
                f"{path}, line {line}: {reason}; a quote that is part of a text is written twice, "
                f"and its text in quotes{hint}"
            ) from error
        columns = columns or (len(row) if any(map(str.strip, row)) else 0)
        # In a table of one column an empty value is a quoted one.
        if columns and row and (len(row) > 1 or columns == 1 or row[0].strip()):
            yield row, line
        line = reader.line_num + 1


def _without_quotes(text: Lines, separator: str) -> Iterator[Record]:
    """Yields the records of a text whose quotes are characters like others."""
    for number, line in enumerate(text(), 1):
        if line.strip():
            yield line.rstrip("\r\n").split(separator), number


def _counts(read: Read) -> tuple[int, int]:
    """Returns the number of rows behind the header, and of blank ones that are behind these."""
    count, blank = 0, 0
    for row, _ in itertools.islice(read(), 1, None):
        blank = blank + 1 if len(row) > 1 and not any(map(str.strip, row)) else 0
        count += 1
    return count - blank, blank


def _without_ends(header: list[str], rows: Read) -> tuple[list[str], Read]:
    """Removes empty fields at the end of all rows, or names at the end of the header."""
    lengths = Counter(len(row) for row, _ in rows())
    if lengths.total() < 2 or len(lengths) > 1:
        return header, rows
    (length,) = lengths
    if not any(header[length:]):
        header = header[:length]
    width = len(header)
    if length <= width or any(field for row, _ in rows() for field in row[width:]):
        return header, rows
    return header, lambda: ((row[:width], line) for row, line in rows())


def _separator(path: Path, text: Lines) -> str:
    """Returns the separator: the one in the header; of several, the one that fits all rows."""
    header = next((line for line in text() if line.strip()), "")
    candidates = [one for one in SEPARATORS if one in header]
    if len(candidates) > 1:
        candidates = [one for one in candidates if _fits(path, text, one)] or candidates
    if len(candidates) > 1:
        raise UserError(
            f"{path} may be separated by {files.one_of([called(one) for one in candidates])}; "
            "pass --separator"
        )
    return candidates[0] if candidates else _NONE


def _fits(path: Path, text: Lines, separator: str) -> bool:
    """Returns whether the first rows have as many fields as the header."""
    try:
        rows = list(itertools.islice(_records(path, text, separator), _ROWS_TRIED))
    except UserError:
        return False
    return len({len(row) for row, _ in rows}) == 1
