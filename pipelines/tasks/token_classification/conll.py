"""A user's own tagged texts: CoNLL files, JSON lines or Parquet, as the tables of their sentences.

A CoNLL file has a token a line, in columns separated by tabs or spaces: the first is the token, or
the second where the first counts the tokens; the last is the tag, or the first of several that have
spans of the same types. A blank line ends a sentence.
Lines that start with -DOCSTART-, and lines before a sentence that start with "#" and are no tagged
token, are not part of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.datasets import encodings, files, tables
from pipelines.datasets.tables import Table
from pipelines.datasets.text_columns import Numbers, column_of, columns_of
from pipelines.errors import UserError
from pipelines.tasks.token_classification import schemes

NEEDS = (
    "CoNLL files (a token a line with its BIO tag in the last column, a blank line between "
    "sentences) or JSON lines with tokens and tags: one file, or train, validation and test"
)
_COLUMNS = {
    *(".conll", ".conllu", ".conll2003", ".txt", ".tsv", ".tab"),
    *(".bio", ".bioes", ".bilou", ".iob", ".iob1", ".iob2", ".ner"),
}
_JSON = {".json", ".jsonl", ".ndjson"}
SUFFIXES = _COLUMNS | _JSON | {".parquet"}
# The names of the two fields, the most usual first.
_TOKENS = ("tokens", "words")
_TAGS = ("tags", "ner_tags", "ner", "labels")
# White space and control characters, at which the served model splits a text.
_SPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_NUMBER = re.compile(r"\d+(?:[-.]\d+)?")

_FIELDS = ("tokens", "tags")

Row = tuple[int, list[str]]  # The number of a line, and its columns.


def read(path: Path, config: Config) -> Table:
    """Reads the sentences of a file.

    Returns:
        "tokens" and "tags", a list of str each, and "token_lines", the line of each token; see
        `text_columns`.

    Raises:
        UserError: The file holds something else, or a sentence cannot be used and `skip_bad` is
            false.
    """
    suffix = path.suffix.lower()
    if suffix in _JSON:
        table = _fields(tables.of_objects(path, config), config)
    elif suffix == ".parquet":
        table = _fields(tables.read(path, config), config)
    else:
        table = _sentences(path, config)
    if not len(table):
        raise UserError(f"{path} has no sentences")
    return table


def leave_out_at(table: Table, faults: Mapping[int, tuple[int, str]], config: Config) -> Table:
    """Returns the table without sentences that have a fault, as `tables.leave_out` does.

    Args:
        table: As of `read`.
        faults: By sentence, the token that is wrong, and what is wrong with it.
        config: Says whether such sentences may be left out.

    Raises:
        UserError: There is a fault, and `skip_bad` is false; or no sentence is without one.
    """
    lines = np.array(table.lines)
    for row, (token, _) in faults.items():
        lines[row] = table.columns["token_lines"][row][token]
    problems = {row: problem for row, (_, problem) in faults.items()}
    return tables.leave_out(replace(table, lines=lines), problems, config)


def _fields(table: Table, config: Config) -> Table:
    """Returns the sentences in the fields of JSON lines or Parquet."""
    names = [
        next((name for name in known if name in table.columns), "") for known in (_TOKENS, _TAGS)
    ]
    if not all(names):
        missing = _TAGS[0] if names[0] else _TOKENS[0]
        raise UserError(
            f"token_classification needs {NEEDS}, but {table.path} has no field {missing!r}; "
            f"it has: {', '.join(table.columns) or 'none'}"
        )
    columns = {key: table.columns[name] for key, name in zip(_FIELDS, names, strict=True)}
    pairs = enumerate(zip(*columns.values(), strict=True))
    problems = {row: problem for row, pair in pairs if (problem := _problem(names, *pair))}
    table = tables.leave_out(replace(table, columns=columns), problems, config)
    full = np.fromiter(map(bool, table.columns["tokens"]), bool, len(table))
    if empty := len(table) - int(full.sum()):
        note = f"{empty} sentences of {table.path} have no tokens and are left out"
        table = replace(table, notes=(*table.notes, note), left_out=table.left_out + empty)
    table = table.take(np.flatnonzero(full))
    token_lines = column_of(
        [int(line)] * len(tokens)
        for line, tokens in zip(table.lines, table.columns["tokens"], strict=True)
    )
    return replace(table, columns={**table.columns, "token_lines": token_lines})


def _problem(names: Sequence[str], tokens: Any, tags: Any) -> str:
    """Returns what is wrong with the two fields of a row, or ""."""
    for name, values in zip(names, (tokens, tags), strict=True):
        if not isinstance(values, list) or not all(isinstance(v, str | None) for v in values):
            return f"{name!r} is no list of texts"
    if len(tokens) != len(tags):
        return f"{len(tokens)} {names[0]}, but {len(tags)} {names[1]}"
    for number, (token, tag) in enumerate(zip(tokens, tags, strict=True), 1):
        if not words_of(token or ""):
            return f"an empty token, number {number} in {names[0]!r}"
        if not tag:
            return f"the token {token!r} has no tag"
    return ""


def _sentences(path: Path, config: Config) -> Table:
    """Returns the sentences of a CoNLL file."""
    file = encodings.opened(path, config.encoding)
    notes = list(file.notes)
    widths = Counter[int]()

    def counted() -> Iterator[list[Row]]:
        for block in _blocks(file):
            widths.update(len(columns) for _, columns in block)
            yield block

    blocks = column_of(counted())
    rows = widths.total()
    if not rows:
        raise UserError(f"{path} has no sentences")
    width, usual = widths.most_common(1)[0]
    if width < 2 or 2 * usual < rows:
        found = files.one_of([str(number) for number in sorted(widths)[:5]])
        raise UserError(
            f"token_classification needs {NEEDS}, but the lines of {path} have {found} columns"
        )
    numbered = width > 2 and all(map(_is_numbered, blocks))
    if numbered:
        notes.append(f"the first column of {path} counts the tokens, which are in the second")
        # Numbers such as 3-4 and 3.1 are of what is no token of its own.
        blocks = column_of([row for row in block if row[1][0].isdecimal()] for block in blocks)
    if len(blocks) == 1 and rows > 1:
        notes.append(
            f"{path} has no blank line between its lines: its {rows} tokens are one sentence, "
            "which is read up to --max_length"
        )
    problems, lines = dict[int, str](), Numbers("q")
    for number, block in enumerate(blocks):
        line, problem = _fault(block, width, int(numbered))
        lines.append(line)
        if problem:
            problems[number] = problem
    place = int(numbered)
    tag = width - 1
    if tag > place + 1:
        tag = _tag_column((row for block in blocks for row in block), width, place)
    if tag < width - 1:
        notes.append(
            f"the tags of {path} are those in column {tag + 1}, the first that has spans; those in "
            "later columns are not read"
        )
    columns = columns_of(
        {
            "tokens": [row[min(place, len(row) - 1)] for _, row in block],
            "tags": [row[min(tag, len(row) - 1)] for _, row in block],
            "token_lines": [line for line, _ in block],
        }
        for block in blocks
    )
    return tables.leave_out(Table(path, columns, lines, notes=tuple(notes)), problems, config)


def _tag_column(rows: Iterable[Row], width: int, token: int) -> int:
    """Returns the column of the tags: the last, or one before it with tags of some of its types.

    GermEval 2014 has nested spans behind those that hold them; the chunks of CoNLL 2003, of other
    types, are no spans of the same kind.
    """
    found: dict[int, set[str]] = {place: set() for place in range(token + 1, width)}
    for _, columns in rows:
        if len(columns) == width:
            for place, tags in found.items():
                tags.add(columns[place])
    for tags in found.values():
        tags.discard(schemes.OUTSIDE)
    last = found[width - 1]
    types = set(map(schemes.type_of, last))
    return next(
        place
        for place, tags in found.items()
        if place == width - 1
        or (types & set(map(schemes.type_of, tags)) and all(map(schemes.is_tag, tags | last)))
    )


def _blocks(file: Iterable[str]) -> Iterator[list[Row]]:
    """Yields the rows of each sentence of a file, whose lines are read several times."""

    def full() -> Iterator[str]:
        return (line for line in _lines(file) if line.strip(" \t") and not line.startswith("#"))

    kinds = Counter("\t" in line for line in full())
    tabs = kinds[True] > kinds[False]
    width = 2
    # A line that starts with "#" is a token if it has as many columns as others, and a tag.
    if kinds and any(line.startswith("#") for line in _lines(file)):
        width = Counter(len(_columns(line, tabs)) for line in full()).most_common(1)[0][0]
    block: list[Row] = []
    for number, line in enumerate(chain(_lines(file), [""]), 1):
        columns = _columns(line, tabs)
        if not any(columns) or columns[0] == "-DOCSTART-":
            if block:
                yield block
            block = []
            continue
        tagged = len(columns) == width > 1 and schemes.is_tag(columns[-1])
        if block or tagged or not line.startswith("#"):
            block.append((number, columns))


def _lines(file: Iterable[str]) -> Iterator[str]:
    return (line.removesuffix("\n") for line in file)


def _columns(line: str, tabs: bool) -> list[str]:
    """Returns the columns of a line; of one that starts with its tab, the first is ""."""
    if not tabs:
        return list(filter(None, line.replace("\t", " ").split(" "))) or [""]
    return [column.strip(" ") for column in line.rstrip(" \t").split("\t")]


def _is_numbered(block: Sequence[Row]) -> bool:
    """Returns whether the first column of a sentence is 1, 2, 3, … or starts with 0."""
    first = [columns[0] for _, columns in block]
    counted = [int(number) for number in first if number.isdecimal()]
    return (
        all(map(_NUMBER.fullmatch, first))
        and bool(counted)
        and counted[0] in (0, 1)
        and counted == list(range(counted[0], counted[0] + len(counted)))
    )


def _fault(block: Sequence[Row], width: int, token: int) -> tuple[int, str]:
    """Returns the first line of a sentence that is wrong, and why; or its first line, and ""."""
    for line, columns in block:
        if len(columns) == 1:
            return line, f"the token {columns[0]!r} has no tag"
        if len(columns) != width:
            return line, f"{len(columns)} columns, but other lines have {width}"
        if not words_of(columns[token]):
            return line, "an empty token"
    return block[0][0], ""


def words_of(token: str) -> list[str]:
    """Returns the parts of a token between white space, which are words in a served text."""
    return [part for part in _SPACE.split(token) if part]
