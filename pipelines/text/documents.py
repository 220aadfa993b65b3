"""A user's own running text: text files, folders of them, or tables with a column `text`.

PATH is

- a folder with `train.txt`, `validation.txt` and `test.txt`, or folders of these names with `.txt`
  files in them;
- a folder of `.txt` files, which are split as wholes by a recorded seed;
- one `.txt` file, whose documents are split; with fewer than three of them it is cut between lines,
  the first 80 % for training, the next 10 % for validation and the last 10 % for test;
- a table, or a folder with a table for each split; a row is a document.

Documents without text are left out and counted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path

import numpy as np

from pipelines.config import Config
from pipelines.datasets import encodings, files, split_tables, splitting, tables
from pipelines.datasets.splitting import SPLITS
from pipelines.datasets.text_columns import (
    Builder,
    Numbers,
    PackedTexts,
    as_json,
    column_of,
    digests,
    taken,
    texts_of,
)
from pipelines.errors import UserError

_TEXT = ".txt"
_NEEDS = (
    "a .txt file, a folder of them, or a table (.csv, .tsv, .jsonl or .parquet) with the column "
    "text; train, validation and test may be files or folders of these names"
)

_PARTS = {1: "two", 2: "three"}

# From the text of a file to its documents.
Divide = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class OwnDocuments:
    """Documents in three splits.

    Attributes:
        texts: By split, the text of each document, with "\\n" between lines.
        rows: Whether documents are rows of a table.
        notes: What is worth knowing, in sentences.
        left_out: By split, the number of files and rows that are left out.
    """

    texts: Mapping[str, PackedTexts]
    rows: bool
    notes: Sequence[str]
    left_out: Mapping[str, int]

    def digest(self) -> str:
        """Returns 12 hexadecimal digits that change with the texts of any split."""
        sha = hashlib.sha256(b"[")
        for number, (split, texts) in enumerate(self.texts.items()):
            sha.update(f"{', ' * (number > 0)}[{json.dumps(split)}, ".encode())
            for part in as_json(texts):
                sha.update(part.encode())
            sha.update(b"]")
        sha.update(b"]")
        return sha.hexdigest()[:12]


@dataclass(frozen=True)
class _Part:
    """What is read of a split, or of all that is not split yet.

    Attributes:
        texts: Documents, str [documents].
        units: The number of each document's unit, as its file, int64 [documents], ascending from 0
            on; the documents of one unit are in one split.
        notes: In sentences.
        left_out: Number of files and rows that are left out.
    """

    texts: PackedTexts
    units: np.ndarray
    notes: list[str] = field(default_factory=list)
    left_out: int = 0

    def keys(self) -> np.ndarray:
        """Returns a digest of the documents of each unit, int64 [units]."""
        of_units = groupby(zip(self.units, self.texts, strict=True), itemgetter(0))
        texts = (json.dumps([text for _, text in documents]) for _, documents in of_units)
        return digests(texts)


def read(
    path: Path, config: Config, task: str, divide: Divide = lambda text: [text]
) -> OwnDocuments:
    """Reads the documents of a path.

    Args:
        path: A file or folder.
        config: Has the options of own data.
        task: Name of the task, for errors.
        divide: From the text of a file to its documents; by default it is one.

    Raises:
        UserError: There are no documents, they cannot be read, or they are too few to be split.
    """
    if not path.exists():
        raise files.unlike(path, task, _NEEDS)
    found, rows = _text_files(path), tables.holds_tables(path)
    if found and rows:
        # Those that are named after splits are the data, and the others lie beside them.
        named = path.is_dir() and bool(files.of_splits(path, tables.READERS))
        if named == ("" not in found):
            raise UserError(
                f"{path} holds {files.describe(path)}: text files or tables are read, not both; "
                "pass the one file that is meant, or keep one kind"
            )
        rows = named
    if rows:
        parts = _read_tables(path, config)
    elif found:
        parts = {split: _read_files(own, config, divide) for split, own in found.items()}
    else:
        raise files.unlike(path, task, _NEEDS)
    read_files = [] if rows else [file for own in found.values() for file in own]
    if beside := _beside(path, read_files):
        next(iter(parts.values())).notes.append(
            f"not read: {files.number(len(beside), 'text file')} beside the splits, as {beside[0]}"
        )
    parts = _with_all_splits(path, parts, config)
    for split, part in parts.items():
        if not len(part.texts):
            raise UserError(f"{path} has no text in its {split} split")
    texts = {split: _at_most(parts[split].texts, config) for split in SPLITS}
    return OwnDocuments(
        texts,
        rows,
        [note for part in parts.values() for note in part.notes] + _copies(texts),
        {split: parts[split].left_out for split in SPLITS},
    )


def _at_most(texts: PackedTexts, config: Config) -> PackedTexts:
    if not 0 < config.max_examples < len(texts):
        return texts
    chosen = splitting.at_most(range(len(texts)), config.max_examples, config.split_seed)
    return texts_of(taken(texts, chosen))


def _text_files(path: Path) -> dict[str, list[Path]]:
    """Returns the text files of each split, or those that are not split, as ""."""
    if path.is_file():
        return {"": [path]} if _is_text(path) else {}
    found = {split: [file] for split, file in files.of_splits(path, [_TEXT]).items()}
    for split, folder in files.of_splits(path).items():
        inside = list(filter(_is_text, files.walk(folder)))
        if inside:
            found[split] = found.get(split, []) + inside
    if found:
        return {split: found[split] for split in SPLITS if split in found}
    every = list(filter(_is_text, files.walk(path)))
    return {"": every} if every else {}


def _is_text(file: Path) -> bool:
    return file.suffix.lower() == _TEXT


def _beside(path: Path, found: Sequence[Path]) -> list[Path]:
    """Returns the text files in a folder that are not among those found."""
    if path.is_file():
        return []
    return [file for file in files.walk(path) if _is_text(file) and file not in set(found)]


def _read_files(found: Sequence[Path], config: Config, divide: Divide) -> _Part:
    texts, sizes = Builder(), Numbers("q")
    empty, bad, notes = list[Path](), list[str](), list[str]()
    for file in found:
        try:
            text, of_file = encodings.read_text(file, config.encoding)
        except UserError as error:
            if not config.skip_bad:
                raise
            bad.append(str(error))
            continue
        notes += of_file
        documents = [document for document in divide(text) if document.strip()]
        if documents:
            texts.append(documents)
            sizes.append(len(documents))
        else:
            empty.append(file)
    if bad:
        notes.append(f"left out: {files.number(len(bad), 'file')}; {bad[0]}")
    if empty:
        notes.append(f"left out: {files.number(len(empty), 'file')} without text, as {empty[0]}")
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    return _Part(texts_of(texts.column()), numbers, notes, len(bad) + len(empty))


def _read_tables(path: Path, config: Config) -> dict[str, _Part]:
    given = split_tables.read_given(
        path, config, ["text"], complete=lambda table: tables.with_texts(table, config)
    )
    parts = {}
    for split, table in given.items():
        texts = texts_of(table.columns["text"])
        full = np.fromiter(map(tables.has_text, texts), bool, len(texts))
        empty = np.flatnonzero(~full)
        notes = list(table.notes)
        if len(empty):
            notes.append(
                f"left out: {files.number(len(empty), 'row')} without text, the first at "
                f"{table.place(empty[0])}"
            )
        texts = texts_of(taken(texts, np.flatnonzero(full))) if len(empty) else texts
        parts[split] = _Part(texts, np.arange(len(texts)), notes, table.left_out + len(empty))
    return parts


def _with_all_splits(path: Path, parts: Mapping[str, _Part], config: Config) -> dict[str, _Part]:
    """Returns all three splits: those that are missing are cut off from train."""
    whole = parts.get("train", parts.get(""))
    if whole is None:
        raise UserError(f"{path} has no text for train; it has: {', '.join(parts)}")
    missing = [split for split in SPLITS[1:] if split not in parts]
    if not missing:
        return {split: parts[split] for split in SPLITS}
    if splitting.numbered(whole.keys())[1] <= len(missing):
        whole = replace(whole, units=np.arange(len(whole.texts)))
    names = ", ".join(["train", *missing])
    numbers, different = splitting.numbered(whole.keys())
    if different > len(missing):
        chosen = splitting.stratified(numbers, None, config.split_seed, missing)
        rows = {name: np.isin(whole.units, found) for name, found in chosen.items()}
        cut = {
            name: texts_of(taken(whole.texts, np.flatnonzero(own))) for name, own in rows.items()
        }
        kind = "document" if len(numbers) == len(whole.texts) else "file"
        note = (
            f"{files.number(len(numbers), kind)} of {path} split into {names} by --split_seed "
            f"{config.split_seed}; equal ones are in one split"
        )
    else:
        pieces = [_between_lines(path, text, len(missing)) for text in whole.texts]
        cut = {
            name: texts_of(column_of(piece[place] for piece in pieces))
            for place, name in enumerate(("train", *missing))
        }
        note = f"{path} is cut between lines into {names}, 10 % for each but train"
    every = {name: _Part(texts, np.arange(len(texts))) for name, texts in cut.items()}
    every["train"] = replace(every["train"], notes=[*whole.notes, note], left_out=whole.left_out)
    return {split: {**parts, **every}[split] for split in SPLITS}


def _between_lines(path: Path, text: str, held_out: int) -> list[str]:
    """Returns the first part of a text, and those that are held out, about a tenth each."""
    # Each with the blank lines before it.
    lines = re.findall(r"\s*[^\n]*\S[^\n]*\n?", text.rstrip() + "\n")
    if len(lines) <= held_out:
        raise UserError(f"{path} has too few lines to be split into {_PARTS[held_out]} parts")
    ends = np.cumsum([len(line) for line in lines])
    cuts = [0]
    for left in range(held_out, 0, -1):
        nearest = int(np.abs(ends - ends[-1] * (10 - left) / 10).argmin()) + 1
        cuts.append(min(max(nearest, cuts[-1] + 1), len(lines) - left))
    return ["".join(lines[a:b]) for a, b in pairwise([*cuts, len(lines)])]


def _copies(texts: Mapping[str, PackedTexts]) -> list[str]:
    """Returns a note for each split with documents that are in an earlier one, too."""
    seen, notes = np.array([], np.int64), list[str]()
    for split, documents in texts.items():
        own = digests(documents)
        copies = np.flatnonzero(np.isin(own, seen))
        if len(copies):
            notes.append(
                f"{len(copies):,} of {files.number(len(documents), 'document')} of {split} are in "
                f"an earlier split, too, the first is {documents[copies[0]].strip()[:40]!r}"
            )
        seen = np.concatenate([seen, own])
    return notes
