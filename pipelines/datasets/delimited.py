"""CSV text, with `,`, `;`, tab or `|` between its fields, as records of one length.

A field with a separator, a line break or a quote is in quotes, in which a quote is written twice.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.datasets import files
from pipelines.errors import UserError

SEPARATORS = (",", ";", "\t", "|")
_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
# Of a table with one column, whose texts may have commas. No text has this character.
_NONE = "\uffff"
_ROWS_TRIED = 200
# A field may be as long as a book.
_LONGEST = 1 << 28

# The fields of a record, and the line at which it starts.
Record = tuple[list[str], int]


@dataclass(frozen=True)
class Records:
    """The records of a CSV text.

    Attributes:
        header: The names in the first record, without spaces around them.
        rows: The others, each as long as the header.
        lines: The line at which each row starts.
        problems: By the number of a row, what is wrong with it.
        separator: What separates the fields; "" where there is one column.
        notes: What is worth knowing, in sentences.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]
    problems: Mapping[int, str]
    separator: str
    notes: Sequence[str]


def parse(path: Path, text: str, separator: str = "") -> Records:
    """Cuts a CSV text into records.

    Blank lines are no records, nor are the rows of separators alone with which spreadsheets end
    a table. Where all rows end in the same number of separators that the header lacks, or the
    other way round, these are no fields.

    Args:
        path: The file, for errors and notes.
        text: What it holds, with line breaks as in the file.
        separator: What separates its fields; empty recognizes it.

    Raises:
        UserError: The separator is none or not clear, or a quote is not closed.
    """
    separator = _NAMES.get(separator.lower(), separator)
    if len(separator) > 1 or separator in ('"', "\n", "\r"):
        raise UserError(f"--separator must be one character, or tab, not {separator!r}")
    # Excel's own line about its separator.
    if line := re.match(r'"?sep=([^\r\n"])"?(\r\n|\r|\n)', text, re.IGNORECASE):
        separator, text = separator or line[1], line[2] + text[line.end() :]
    separator = separator or _separator(path, text)
    records, notes = _cut(path, text, separator)
    (header, _), *rows = records or [([], 0)]
    header = [column.strip() for column in header]
    if blank := _blank_at_the_end(rows):
        rows = rows[:-blank]
        notes.append(f"{path}: {files.number(blank, 'row')} at the end without any value")
    header, rows = _without_ends(header, rows)
    if several := [line for row, line in rows if any(re.search("[\r\n]", field) for field in row)]:
        notes.append(
            f"{path}: {files.number(len(several), 'row')} with line breaks in quotes, the first in "
            f"line {several[0]}"
        )
    problems = dict[int, str]()
    # R leaves out the name of the rows' own names.
    unnamed = {len(row) for row, _ in rows} == {len(header) + 1}
    kept, lines = list[list[str]](), list[int]()
    for number, (row, at) in enumerate(rows):
        # A field without a name may lack its separator: spreadsheets leave such out.
        if len(row) > len(header) or any(header[len(row) :]):
            problems[number] = (
                f"{files.number(len(row), 'field')}, but the header has {len(header)}"
            )
            if len(row) > len(header):
                problems[number] += f"; a text that contains {called(separator)} needs quotes"
                if unnamed:
                    problems[number] += ", or the header lacks a name for the first column"
        kept.append((row + [""] * len(header))[: len(header)])
        lines.append(at)
    return Records(header, kept, lines, problems, separator.replace(_NONE, ""), notes)


def called(separator: str) -> str:
    """Returns what a separator is called in a sentence."""
    return "tab" if separator == "\t" else f"{separator!r}"


def _cut(path: Path, text: str, separator: str) -> tuple[list[Record], list[str]]:
    """Returns the records of a text, and notes about their quotes.

    Between tabs many programs write quotes as they are: these are parts of the texts where they do
    not come in pairs, or where a pair would swallow the ends of lines that are whole rows.
    """
    bare = list(_without_quotes(text, separator)) if '"' in text else []
    regular = len({len(row) for row, _ in bare}) == 1 and len(bare[0][0]) > 1
    tabs = separator == "\t"
    try:
        records = _with_quotes(path, text, separator)
    except UserError:
        if not (regular and tabs):
            raise
        reason = "as they do not come in pairs"
    else:
        long = [line for row, line in records if any("\n" in x or "\r" in x for x in row)]
        # Of a header in quotes the texts are in quotes, too.
        if not regular or not long or any(field.startswith('"') for field in bare[0][0]):
            return records, _swallowing(path, records) if tabs else []
        if not tabs:
            return records, [_loud(path, long)]
        reason = "as each line is a row"
    first = next(line for row, line in bare if any('"' in field for field in row))
    note = f"{path}: quotes are read as parts of the texts, {reason}; the first is in line {first}"
    return bare, [note]


def _swallowing(path: Path, records: Sequence[Record]) -> list[str]:
    """Returns a note if quotes between tabs hold lines that look like rows of their own."""
    if found := [
        line
        for row, line in records
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


def _with_quotes(path: Path, text: str, separator: str) -> list[Record]:
    """Returns the records of a text; in `a, "b"`, too, the quotes are none of the field's."""
    spaced = list[Record]()
    if not separator.isspace() and f'{separator} "' in re.sub(" +", " ", text):
        with contextlib.suppress(UserError):
            spaced = list(_records(path, text, separator, skip=True))
    try:
        plain = list(_records(path, text, separator))
    except UserError:
        if spaced:
            return spaced
        raise
    # A text that csv.writer wrote differs in its spaces alone.
    same = [([field.lstrip(" ") for field in row], line) for row, line in plain]
    other = [([field.lstrip(" ") for field in row], line) for row, line in spaced]
    return spaced if spaced and same != other else plain


def _records(path: Path, text: str, separator: str, skip: bool = False) -> Iterator[Record]:
    """Yields the records of a text, without blank lines, of which the first is not empty."""
    csv.field_size_limit(_LONGEST)
    stream = io.StringIO(text, newline="")
    reader = csv.reader(stream, delimiter=separator, strict=True, skipinitialspace=skip)
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


def _without_quotes(text: str, separator: str) -> Iterator[Record]:
    """Yields the records of a text whose quotes are characters like others."""
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if line.strip():
            yield line.split(separator), number


def _blank_at_the_end(rows: Sequence[Record]) -> int:
    blank = itertools.takewhile(
        lambda record: len(record[0]) > 1 and not any(map(str.strip, record[0])), reversed(rows)
    )
    return len(list(blank))


def _without_ends(header: list[str], rows: list[Record]) -> tuple[list[str], list[Record]]:
    """Removes empty fields at the end of all rows, or names at the end of the header."""
    lengths = {len(row) for row, _ in rows}
    if len(rows) < 2 or len(lengths) > 1:
        return header, rows
    length = lengths.pop()
    if not any(header[length:]):
        header = header[:length]
    if not any(field for row, _ in rows for field in row[len(header) :]):
        rows = [(row[: len(header)], line) for row, line in rows]
    return header, rows


def _separator(path: Path, text: str) -> str:
    """Returns the separator: the one in the header; of several, the one that fits all rows."""
    header = next((line for line in re.split(r"\r\n|\r|\n", text) if line.strip()), "")
    candidates = [one for one in SEPARATORS if one in header]
    if len(candidates) > 1:
        candidates = [one for one in candidates if _fits(path, text, one)] or candidates
    if len(candidates) > 1:
        raise UserError(
            f"{path} may be separated by {files.one_of([called(one) for one in candidates])}; "
            "pass --separator"
        )
    return candidates[0] if candidates else _NONE


def _fits(path: Path, text: str, separator: str) -> bool:
    """Returns whether the first rows have as many fields as the header."""
    try:
        rows = list(itertools.islice(_records(path, text, separator), _ROWS_TRIED))
    except UserError:
        return False
    return len({len(row) for row, _ in rows}) == 1
