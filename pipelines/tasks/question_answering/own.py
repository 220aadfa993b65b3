"""Questions whose answers are found in their passages, in three splits, with notes on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.datasets import files, split_tables
from pipelines.datasets.splitting import SPLITS
from pipelines.datasets.tables import Table
from pipelines.datasets.text_columns import Numbers, column_of, columns_of, digests
from pipelines.errors import UserError
from pipelines.tasks.question_answering import offsets, squad


def find(path: Path) -> dict[str, list[Path]]:
    """Returns the files of each split, or all of them as "" where there are no splits.

    Raises:
        UserError: `path` holds no file that could have questions.
    """
    found = files.find(path, squad.SUFFIXES)
    if not all(found.values()):
        raise files.unlike(path, "question_answering", squad.NEEDS)
    return found


def read_splits(
    path: Path, found: Mapping[str, Sequence[Path]], config: Config
) -> dict[str, Table]:
    """Reads questions, and splits what is not split yet by `config.split_seed`.

    Questions about one passage are in one split.

    Args:
        path: What the user named.
        found: As of `find`.
        config: Has the options of own data.

    Returns:
        By split, what `with_answers` returns.

    Raises:
        UserError: A file or a question cannot be used.
    """
    read = {
        split: split_tables.joined(path, [with_answers(squad.read(file, config)) for file in own])
        for split, own in found.items()
    }
    splits = split_tables.with_all_splits(read, config, label="", group="context")
    ids = column_of(str(own) for table in read.values() for own in table.columns["id"] if own)
    _, firsts, counts = np.unique(digests(ids), return_index=True, return_counts=True)
    every = [file for own in found.values() for file in own]
    notes = [*_shared_passages(read), *files.unread(path, every, squad.SUFFIXES)]
    twice = firsts[counts > 1]
    if len(twice):
        several = f"{files.number(len(twice), 'id')} of several questions"
        notes.append(f"{path} has {several}, the first {ids[twice.min()]!r}")
    train = splits["train"]
    return {**splits, "train": replace(train, notes=(*train.notes, *notes))}


@dataclass(frozen=True)
class _Offsets:
    """The answers of a table that have an offset, each with its passage; they can be read again."""

    table: Table

    def __iter__(self) -> Iterator[tuple[str, str, int]]:
        for context, answers in _asked(self.table):
            yield from ((context, text, start) for text, start in answers if start is not None)


def _asked(table: Table) -> Iterator[tuple[str, list[squad.Answer]]]:
    return zip(table.columns["context"], table.columns["answers"], strict=True)


@dataclass
class _Counted:
    """Questions of one kind: how many, the first of them, and what is to be said of it."""

    first: int
    said: str = ""
    number: int = 0


def with_answers(table: Table) -> Table:
    """Returns the questions that have an answer in their passage.

    Args:
        table: As of `squad.read`.

    Returns:
        "id", "question", "context", "answers", a list of the passage's own texts each, and "start",
        the character at which the first of them starts.

    Raises:
        UserError: None is left, or more than half of the answers are not in their passages.
    """
    unit = offsets.best_unit(_Offsets(table))
    mended, lost = dict[str, _Counted](), _Counted(-1)
    kept = Numbers("q")
    dropped = 0

    def found() -> Iterator[dict[str, Any]]:
        nonlocal dropped, lost
        for row, (context, answers) in enumerate(_asked(table)):
            places = [offsets.locate(context, text, start, unit) for text, start in answers]
            good = [span for span in places if isinstance(span, offsets.Span)]
            for phrase in {span.mended for span in good if span.mended}:
                mended.setdefault(phrase, _Counted(row)).number += 1
            problems = [problem for problem in places if isinstance(problem, str)]
            if good:
                dropped += len(problems)
                kept.append(row)
                own = [context[span.start : span.end] for span in good]
                yield {"answers": own, "start": good[0].start}
            elif problems:
                lost = lost if lost.number else _Counted(row, problems[0])
                lost.number += 1

    columns = columns_of(found())
    both = lost.number + len(kept)
    blank = len(table) - both
    if lost.number > len(kept):
        raise UserError(
            f"{lost.number} of the {both} questions with an answer in {table.path} "
            f"cannot be used; the first: {_where(table, lost.first)}: {lost.said}"
        )
    if not kept:
        raise UserError(f"{table.path} has no question with an answer")
    notes = [
        f"{table.path}: {phrase}: {own.number} of {len(kept)} questions, the first: "
        f"{_where(table, own.first)}"
        for phrase, own in mended.items()
    ]
    if lost.number:
        notes.append(
            f"{table.path}: left out, as nobody can tell where the answer is: {lost.number} of "
            f"{both} questions, the first: {_where(table, lost.first)}: {lost.said}"
        )
    if dropped:
        notes.append(f"{table.path}: {dropped} answers are not in their passage; others are")
    if blank:
        notes.append(f"{table.path}: left out, as they have no answer: {blank} questions")
    taken = table.take(np.array(kept))
    return replace(
        taken,
        columns={**taken.columns, **columns},
        notes=(*table.notes, *notes),
        left_out=table.left_out + lost.number + blank,
    )


def _where(table: Table, row: int) -> str:
    """Returns where a question is, and its text."""
    own = table.columns["id"][row]
    shown = f" ({own})" if own else ""
    return f"{table.place(row)}{shown}, {table.columns['question'][row][:80]!r}"


def _shared_passages(read: Mapping[str, Table]) -> list[str]:
    """Returns notes of the passages of validation and test that train has, too."""
    if "train" not in read:
        return []
    passages = {split: np.unique(digests(own.columns["context"])) for split, own in read.items()}
    notes = []
    for split in [split for split in SPLITS[1:] if split in read]:
        own = passages[split]
        if both := len(np.intersect1d(own, passages["train"])):
            notes.append(f"{both} of the {len(own)} passages of {split} are in train, too")
    return notes
