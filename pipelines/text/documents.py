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

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from pipelines.config import Config
from pipelines.datasets import encodings, files, split_tables, splitting, tables
from pipelines.datasets.splitting import SPLITS
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

    texts: Mapping[str, Sequence[str]]
    rows: bool
    notes: Sequence[str]
    left_out: Mapping[str, int]

    def digest(self) -> str:
        """Returns 12 hexadecimal digits that change with the texts of any split."""
        return files.json_hash(list(self.texts.items())).hexdigest()[:12]


@dataclass(frozen=True)
class _Part:
    """What is read of a split, or of all that is not split yet.

    Attributes:
        units: Lists of documents; those of one list are in one split.
        notes: In sentences.
        left_out: Number of files and rows that are left out.
    """

    units: Sequence[Sequence[str]]
    notes: list[str] = field(default_factory=list)
    left_out: int = 0

    def documents(self) -> list[str]:
        return [text for unit in self.units for text in unit]


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
        if not part.units:
            raise UserError(f"{path} has no text in its {split} split")
    texts = {
        split: splitting.at_most(parts[split].documents(), config.max_examples, config.split_seed)
        for split in SPLITS
    }
    return OwnDocuments(
        texts,
        rows,
        [note for part in parts.values() for note in part.notes] + _copies(texts),
        {split: parts[split].left_out for split in SPLITS},
    )


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
    units, empty, bad, notes = [], list[Path](), list[str](), list[str]()
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
            units.append(documents)
        else:
            empty.append(file)
    if bad:
        notes.append(f"left out: {files.number(len(bad), 'file')}; {bad[0]}")
    if empty:
        notes.append(f"left out: {files.number(len(empty), 'file')} without text, as {empty[0]}")
    return _Part(units, notes, len(bad) + len(empty))


def _read_tables(path: Path, config: Config) -> dict[str, _Part]:
    given = split_tables.read_given(
        path, config, ["text"], complete=lambda table: tables.with_texts(table, config)
    )
    parts = {}
    for split, table in given.items():
        texts = table.columns["text"]
        empty = [row for row, text in enumerate(texts) if not tables.has_text(text)]
        notes = list(table.notes)
        if empty:
            notes.append(
                f"left out: {files.number(len(empty), 'row')} without text, the first at "
                f"{table.place(empty[0])}"
            )
        units = [[text] for text in texts if tables.has_text(text)]
        parts[split] = _Part(units, notes, table.left_out + len(empty))
    return parts


def _with_all_splits(path: Path, parts: Mapping[str, _Part], config: Config) -> dict[str, _Part]:
    """Returns all three splits: those that are missing are cut off from train."""
    whole = parts.get("train", parts.get(""))
    if whole is None:
        raise UserError(f"{path} has no text for train; it has: {', '.join(parts)}")
    missing = [split for split in SPLITS[1:] if split not in parts]
    if not missing:
        return {split: parts[split] for split in SPLITS}
    units = whole.units
    if len(set(map(tuple, units))) <= len(missing):
        units = [[text] for unit in units for text in unit]
    names = ", ".join(["train", *missing])
    if len(set(map(tuple, units))) > len(missing):
        chosen = splitting.stratified(list(map(tuple, units)), None, config.split_seed, missing)
        cut = {split: [units[index] for index in found] for split, found in chosen.items()}
        kind = "document" if all(len(unit) == 1 for unit in units) else "file"
        note = (
            f"{files.number(len(units), kind)} of {path} split into {names} by --split_seed "
            f"{config.split_seed}; equal ones are in one split"
        )
    else:
        cut = {split: [] for split in ("train", *missing)}
        for (text,) in units:
            for split, piece in zip(cut, _between_lines(path, text, len(missing)), strict=True):
                cut[split].append([piece])
        note = f"{path} is cut between lines into {names}, 10 % for each but train"
    pieces = {split: _Part(found) for split, found in cut.items()}
    pieces["train"] = replace(whole, units=cut["train"], notes=[*whole.notes, note])
    return {split: {**parts, **pieces}[split] for split in SPLITS}


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


def _copies(texts: Mapping[str, Sequence[str]]) -> list[str]:
    """Returns a note for each split with documents that are in an earlier one, too."""
    seen, notes = set[str](), list[str]()
    for split, documents in texts.items():
        if copies := [text for text in documents if text in seen]:
            notes.append(
                f"{len(copies):,} of {files.number(len(documents), 'document')} of {split} are in "
                f"an earlier split, too, the first is {copies[0].strip()[:40]!r}"
            )
        seen.update(documents)
    return notes
