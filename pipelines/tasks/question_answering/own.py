"""Questions whose answers are found in their passages, in three splits, with notes on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.config import Config
from pipelines.datasets import files, split_tables
from pipelines.datasets.splitting import SPLITS
from pipelines.datasets.tables import Table
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
    ids = Counter(str(own) for table in read.values() for own in table.columns["id"] if own)
    every = [file for own in found.values() for file in own]
    notes = [*_shared_passages(read), *files.unread(path, every, squad.SUFFIXES)]
    if twice := [own for own, number in ids.items() if number > 1]:
        several = f"{files.number(len(twice), 'id')} of several questions"
        notes.append(f"{path} has {several}, the first {twice[0]!r}")
    train = splits["train"]
    return {**splits, "train": replace(train, notes=(*train.notes, *notes))}


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
    columns = table.columns
    asked = list(zip(columns["context"], columns["answers"], strict=True))
    unit = offsets.best_unit(
        [(c, text, start) for c, own in asked for text, start in own if start is not None]
    )
    mended, lost = dict[str, list[int]](), dict[int, str]()
    kept, spans = list[int](), list[list[offsets.Span]]()
    dropped = 0
    for row, (context, answers) in enumerate(asked):
        found = [offsets.locate(context, text, start, unit) for text, start in answers]
        good = [span for span in found if isinstance(span, offsets.Span)]
        for phrase in {span.mended for span in good if span.mended}:
            mended.setdefault(phrase, []).append(row)
        problems = [problem for problem in found if isinstance(problem, str)]
        if good:
            dropped += len(problems)
            kept.append(row)
            spans.append(good)
        elif problems:
            lost[row] = problems[0]
    blank = len(table) - len(kept) - len(lost)
    if len(lost) > len(kept):
        first = next(iter(lost))
        raise UserError(
            f"{len(lost)} of the {len(lost) + len(kept)} questions with an answer in {table.path} "
            f"cannot be used; the first: {_where(table, first)}: {lost[first]}"
        )
    if not kept:
        raise UserError(f"{table.path} has no question with an answer")
    notes = [
        f"{table.path}: {phrase}: {len(rows)} of {len(kept)} questions, the first: "
        f"{_where(table, rows[0])}"
        for phrase, rows in mended.items()
    ]
    if lost:
        first = next(iter(lost))
        notes.append(
            f"{table.path}: left out, as nobody can tell where the answer is: {len(lost)} of "
            f"{len(lost) + len(kept)} questions, the first: {_where(table, first)}: {lost[first]}"
        )
    if dropped:
        notes.append(f"{table.path}: {dropped} answers are not in their passage; others are")
    if blank:
        notes.append(f"{table.path}: left out, as they have no answer: {blank} questions")
    taken = table.take(kept)
    contexts = taken.columns["context"]
    return replace(
        taken,
        columns={
            **taken.columns,
            "answers": [
                [context[span.start : span.end] for span in own]
                for context, own in zip(contexts, spans, strict=True)
            ],
            "start": [own[0].start for own in spans],
        },
        notes=(*table.notes, *notes),
        left_out=table.left_out + len(lost) + blank,
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
    seen, notes = set(read["train"].columns["context"]), []
    for split in [split for split in SPLITS[1:] if split in read]:
        own = set(read[split].columns["context"])
        if both := len(own & seen):
            notes.append(f"{both} of the {len(own)} passages of {split} are in train, too")
    return notes
