"""A user's own questions: SQuAD's JSON, or a table, JSON lines or Parquet with a question a row.

SQuAD's JSON is nested as `data`, `paragraphs`, `qas`. A row has "question", "context" and answers:
"answers" as {"text": […], "answer_start": […]}, as a list of {"text", "answer_start"} or of texts,
or "answer", a text; offsets may also be in "answer_start", or be missing. Nothing in a passage is
changed, as offsets count in it.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.config import Config
from pipelines.datasets import encodings, json_lines, tables
from pipelines.datasets.tables import Table
from pipelines.datasets.text_columns import Numbers, columns_of
from pipelines.errors import UserError

NEEDS = (
    "SQuAD's JSON, or a table or JSON lines with question, context and answers: one file, or "
    "train, validation and test"
)
SUFFIXES = {".json", *tables.READERS}
_ANSWERS = ("answers", "answer")

Answer = tuple[str, int | None]  # Its text, and where it is said to start.


def read(path: Path, config: Config) -> Table:
    """Reads the questions of a file.

    Returns:
        "id", "question" and "context", str each, and "answers", a list of (text, offset or None)
        each, which is empty where the question has no answer.

    Raises:
        UserError: The file holds something else, or a question cannot be used and `skip_bad` is
            false.
    """
    rows, table = _rows(path, config)
    names: dict[str, None] = {}
    lines, problems = Numbers("q"), dict[int, str]()

    def questions() -> Iterator[dict[str, Any]]:
        for number, (row, line) in enumerate(rows):
            names.update(dict.fromkeys(row))
            lines.append(line)
            fields, answers = dict.fromkeys(("id", "question", "context"), ""), list[Answer]()
            try:
                _check(row)
                answers = _answers(row)
                fields = {name: row.get(name) or "" for name in fields}
            except ValueError as error:
                problems[number] = str(error)
            yield {**fields, "answers": answers}

    columns = columns_of(questions())
    if not {"question", "context"} <= set(names) or not set(_ANSWERS) & set(names):
        raise UserError(
            f"question_answering needs {NEEDS}, but {path} has: {', '.join(names) or 'nothing'}"
        )
    return tables.leave_out(replace(table, columns=columns, lines=lines), problems, config)


def _rows(path: Path, config: Config) -> tuple[Iterator[tuple[dict[str, Any], int]], Table]:
    """Returns the fields of each question, and its line; and a table that is empty yet."""
    suffix = path.suffix.lower()
    if suffix == ".json" and (document := _document(path, config)):
        value, notes = document
        nested = zip(_nested(path, value, {}), itertools.count(1), strict=False)
        return nested, Table(path, {}, [], notes=tuple(notes), unit="question")
    if suffix in (".json", ".jsonl", ".ndjson"):
        rows, notes = json_lines.read(path, config)
        return rows, Table(path, {}, [], notes=tuple(notes))
    table = tables.read(path, config)
    values = zip(*table.columns.values(), strict=True)
    fields = (dict(zip(table.columns, row, strict=True)) for row in values)
    return zip(fields, map(int, table.lines), strict=True), table


def _document(path: Path, config: Config) -> tuple[Any, list[str]] | None:
    """Returns the value of a JSON file and notes; None for JSON lines, or an array of rows."""
    text, notes = encodings.read_text(path, config.encoding)
    try:
        value = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        try:
            json.loads(text.strip().partition("\n")[0])
            return None
        except ValueError:
            raise UserError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
    rows = value if isinstance(value, list) else [value]
    flat = all(isinstance(row, dict) and "question" in row for row in rows)
    return None if flat else (value, notes)


def _nested(path: Path, value: Any, outer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the fields of each question in a value of SQuAD's JSON, with those around it."""
    if isinstance(value, list):
        for one in value:
            yield from _nested(path, one, outer)
        return
    if not isinstance(value, dict):
        raise UserError(f"{path} is not in SQuAD's form: {json.dumps(value)[:40]} is no object")
    inner = next((name for name in ("data", "paragraphs", "qas") if name in value), "")
    fields = {**outer, **{name: own for name, own in value.items() if name != inner}}
    if not inner:
        yield fields
    elif isinstance(value[inner], list):
        yield from _nested(path, value[inner], fields)
    else:
        raise UserError(f"{path} is not in SQuAD's form: {inner!r} is no list")


def _check(row: Mapping[str, Any]) -> None:
    """Raises `ValueError` unless a row has a question and a passage."""
    for name in ("question", "context"):
        value = row.get(name)
        if not isinstance(value, str | None):
            raise ValueError(f"{name!r} is no text")
        if not (value or "").strip():
            raise ValueError(f"{name!r} is empty")
    try:
        json.dumps(dict(row), ensure_ascii=False, default=repr).encode()
    except UnicodeEncodeError as error:
        half = ord(error.object[error.start])
        raise ValueError(f"half of a character, \\u{half:04x}, stands alone") from error


def _answers(row: Mapping[str, Any]) -> list[Answer]:
    """Returns the answers in a row; ValueError if they have another form."""
    if str(row.get("is_impossible", "")).lower() in ("true", "1"):
        return []
    given = next((row[name] for name in _ANSWERS if row.get(name) is not None), None)
    given = _literal(given) if isinstance(given, str) else given
    texts, starts = given, row.get("answer_start")
    if isinstance(given, dict):
        texts, starts = given.get("text"), given.get("answer_start", starts)
    elif isinstance(given, list) and any(isinstance(one, dict) for one in given):
        if not all(isinstance(one, dict) for one in given):
            raise ValueError("some of the answers are texts, and some are not")
        texts = [one.get("text") for one in given]
        starts = [one.get("answer_start") for one in given]
    texts = texts if isinstance(texts, list) else [texts]
    starts = starts if isinstance(starts, list) else [starts]
    if starts in ([], [None], [""]):
        starts = [None] * len(texts)
    if not all(isinstance(text, str | None) for text in texts):
        raise ValueError("an answer is no text")
    if len(texts) != len(starts):
        raise ValueError(f"{len(texts)} answers, but {len(starts)} in 'answer_start'")
    return [
        (text, _offset(start))
        for text, start in zip(texts, starts, strict=True)
        if text and text.strip()
    ]


def _offset(value: Any) -> int | None:
    """Returns an offset; None where there is none, which some write as -1."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, str) or not re.fullmatch(r"-?\d+(\.0*)?", value.strip()):
        raise ValueError(f"'answer_start' must be a whole number, not {value!r}")
    number = int(value.strip().partition(".")[0])
    return number if number >= 0 else None


def _literal(text: str) -> Any:
    """Returns answers that a field of a table has as JSON or as Python writes them; others as is.

    Raises:
        ValueError: It starts like such answers, and cannot be read.
    """
    if not re.match(r"\s*\[?\s*\{\s*['\"](text|answer_start)['\"]", text):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError) as error:
            raise ValueError(f"the answers {text[:40]!r} cannot be read as JSON") from error
    return json_lines.as_texts(value)
