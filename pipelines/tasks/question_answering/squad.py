"""A user's own questions: SQuAD's JSON, or a table, JSON lines or Parquet with a question a row.

SQuAD's JSON is nested as `data`, `paragraphs`, `qas`. A row has "question", "context" and answers:
"answers" as {"text": […], "answer_start": […]}, as a list of {"text", "answer_start"} or of texts,
or "answer", a text; offsets may also be in "answer_start", or be missing. Nothing in a passage is
changed, as offsets count in it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.config import Config
from pipelines.datasets import encodings, json_lines, tables
from pipelines.datasets.tables import Table
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
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not {"question", "context"} <= set(names) or not set(_ANSWERS) & set(names):
        raise UserError(
            f"question_answering needs {NEEDS}, but {path} has: {', '.join(names) or 'nothing'}"
        )
    answers, problems = list[list[Answer]](), dict[int, str]()
    for number, row in enumerate(rows):
        found: list[Answer] = []
        try:
            _check(row)
            found = _answers(row)
        except ValueError as error:
            problems[number] = str(error)
        answers.append(found)
    columns: dict[str, list] = {
        name: [row.get(name) or "" for row in rows] for name in ("id", "question", "context")
    }
    return tables.leave_out(
        Table(
            path, {**columns, "answers": answers}, table.lines, notes=table.notes, unit=table.unit
        ),
        problems,
        config,
    )


def _rows(path: Path, config: Config) -> tuple[list[dict[str, Any]], Table]:
    """Returns the fields of each question; and a table without columns, of their lines."""
    suffix = path.suffix.lower()
    if suffix == ".json" and (document := _document(path, config)):
        value, notes = document
        rows = list(_nested(path, value, {}))
        return rows, Table(path, {}, range(1, len(rows) + 1), notes=tuple(notes), unit="question")
    if suffix in (".json", ".jsonl", ".ndjson"):
        objects, notes = json_lines.read(path, config)
        found = list(objects)
        lines = [line for _, line in found]
        return [row for row, _ in found], Table(path, {}, lines, notes=tuple(notes))
    table = tables.read(path, config)
    values = zip(*table.columns.values(), strict=True)
    return [dict(zip(table.columns, row, strict=True)) for row in values], table


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
        json.dumps(dict(row), ensure_ascii=False).encode()
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
