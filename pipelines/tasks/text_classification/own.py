"""A user's own labeled texts: tables with the columns `text`, `label` and, for pairs, `text_pair`.

A label is the text that stands in the table, without the white space around it: "01" is not "1".
The classes are those of the training rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.config import Config
from pipelines.datasets import files, split_tables, tables
from pipelines.datasets.labels import alike
from pipelines.datasets.tables import Table
from pipelines.datasets.text_columns import column_of
from pipelines.errors import UserError

TEXTS = ("text", "text_pair")
_NEEDS = (
    "a table (.csv, .tsv, .jsonl or .parquet) with the columns text and label, or a folder with "
    "one for each of train, validation and test"
)
# Fewer rows may well have a class each.
_FEW_ROWS = 20
# What programs write for a value that is missing, in lower case.
_MISSING = {"na", "nan", "n/a", "#n/a", "<na>", "null"}
# Names that a note lists.
_NAMED = 3


@dataclass(frozen=True)
class OwnTexts:
    """Tables of labeled texts.

    Attributes:
        tables: By split, with the columns "text", "label" and for pairs "text_pair".
        class_names: The labels of the training rows, in the order of their characters.
        notes: What is worth knowing, in sentences.
    """

    tables: Mapping[str, Table]
    class_names: tuple[str, ...]
    notes: Sequence[str]


def read(path: Path, config: Config) -> OwnTexts:
    """Reads the tables of a path; rows that are not split yet are split, each class by itself.

    Raises:
        UserError: There are no such tables, a row lacks a text or a label, a label does not occur
            in train, or the labels are no classes.
    """
    if not path.exists() or not tables.holds_tables(path):
        raise files.unlike(path, "text_classification", _NEEDS)

    def complete(table: Table) -> Table:
        table = tables.of_texts(table, config)
        labels = column_of(label.strip() for label in table.columns["label"])
        return replace(table, columns={**table.columns, "label": labels})

    given = split_tables.read_given(path, config, ("text", "label"), ("text_pair",), complete)
    _check_classes(given.get("train", given.get("")))
    splits = split_tables.with_all_splits(given, config, "label")
    known = set(splits["train"].columns["label"])
    for split in ("validation", "test"):
        splits[split] = _of_known_labels(splits[split], split, known, config)
    notes = (*split_tables.notes(splits), *_class_notes(splits))
    return OwnTexts(splits, tuple(sorted(known)), notes)


def _check_classes(table: Table | None) -> None:
    """Raises `UserError` if the labels of a training table are all the same, or nearly unique."""
    if table is None:
        return
    counts = Counter(table.columns["label"])
    if len(counts) == 1:
        raise UserError(
            f"{table.path} has one class, {next(iter(counts))!r}; classification needs two at least"
        )
    single = [row for row, label in enumerate(table.columns["label"]) if counts[label] == 1]
    if len(table) < _FEW_ROWS or 2 * len(single) < len(table):
        return
    texts = len(set(table.columns["text"]))
    if all(map(_is_number, counts)):
        reason = "a number to predict is no class"
    elif texts < len(counts):
        reason = f"are the columns swapped? `text` has {files.number(texts, 'different value')}"
    else:
        reason = "a class needs several examples"
    raise UserError(
        f"{len(single):,} of {files.number(len(table), 'row')} of {table.path} have a label of "
        f"their own, as {table.columns['label'][single[0]]!r} in {table.place(single[0])}: {reason}"
    )


def _of_known_labels(table: Table, split: str, known: set[str], config: Config) -> Table:
    problems = {
        row: f"the label {label!r} of {split} does not occur in train"
        for row, label in enumerate(table.columns["label"])
        if label not in known
    }
    return tables.leave_out(table, problems, config)


def _class_notes(splits: Mapping[str, Table]) -> list[str]:
    labels = sorted(set(splits["train"].columns["label"]))
    notes = alike(labels)
    if missing := [label for label in labels if label.casefold() in _MISSING]:
        named = " and ".join(map(repr, missing))
        notes.append(
            f"{named} {'are classes' if len(missing) > 1 else 'is a class'} like any other; rows "
            "without a label have to be left out of the data"
        )
    if len(labels) > _FEW_ROWS and all(map(_is_number, labels)) and any("." in x for x in labels):
        notes.append(
            f"the labels are {len(labels)} different numbers, as {_list(labels)}: each is "
            "a class, and that some are near each other is not learned"
        )
    return notes


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" * (len(names) > _NAMED)
    return ", ".join(map(repr, names[:_NAMED])) + more
