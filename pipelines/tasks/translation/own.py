"""A user's own parallel texts: tables, or two plain files whose lines are each other's translation.

Tables have the columns `source` and `target`. Plain files are `SPLIT.SOURCE` and `SPLIT.TARGET`, as
`train.de` and `train.en`, with `.txt` behind it or not, or the only two files in a folder. The
source is the ending, or the name, that comes first in the alphabet.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.config import Config
from pipelines.datasets import encodings, files, split_tables, tables
from pipelines.datasets.splitting import SPLITS
from pipelines.datasets.tables import Table
from pipelines.datasets.text_columns import Column, column_of, taken
from pipelines.errors import UserError

TEXTS = ("source", "target")
_NEEDS = (
    "tables (.csv, .tsv, .jsonl or .parquet) with the columns source and target, or two plain "
    "files for each split, as train.de and train.en, whose lines are each other's translation"
)


def read(path: Path, config: Config, *, reverse: bool = False) -> dict[str, Table]:
    """Reads the pairs of a path; those that are not split yet are split by a recorded seed.

    Args:
        path: A table, or a folder of tables or plain files.
        config: Has the options of own data.
        reverse: Whether sources and targets are swapped.

    Returns:
        By split, tables with the columns "source" and "target".

    Raises:
        UserError: There are no pairs, two files differ in their numbers of lines, or a text is
            empty and `skip_bad` is false.
    """
    if not path.exists():
        raise files.unlike(path, "translation", _NEEDS)
    pairs = {} if tables.holds_tables(path) else _pairs(path)
    if pairs:
        given = {split: _lines(*pair, config) for split, pair in pairs.items()}
    elif tables.holds_tables(path):
        given = split_tables.read_given(
            path, config, TEXTS, complete=lambda table: tables.of_texts(table, config)
        )
    else:
        raise files.unlike(path, "translation", _NEEDS)
    splits = split_tables.with_all_splits(given, config, "")
    if pairs:
        (source, target), *_ = pairs.values()
        if reverse:
            source, target = target, source
        note = (
            f"sources are the lines of {source.name}, targets those of {target.name}; --reverse "
            f"{str(not reverse).lower()} swaps them"
        )
        splits["train"] = replace(splits["train"], notes=(note, *splits["train"].notes))
    return {split: _swapped(table) if reverse else table for split, table in splits.items()}


def _swapped(table: Table) -> Table:
    columns = {name: table.columns[other] for name, other in zip(TEXTS, TEXTS[::-1], strict=True)}
    return replace(table, columns=columns)


def _pairs(path: Path) -> dict[str, tuple[Path, Path]]:
    """Returns the two plain files of each split in a folder, or the only two, as those of ""."""
    if path.is_file():
        return {}
    plain = [file for file in files.children(path) if file.is_file() and not tables.is_table(file)]
    plain.sort(key=lambda file: file.name.lower())
    of_splits: dict[str, list[Path]] = {}
    for file in plain:
        stem, ending = _parts(file)
        if ending and (split := files.split_of(Path(f"{stem}.txt"))):
            of_splits.setdefault(split, []).append(file)
    if not of_splits:
        return _only_pair(plain)
    endings = set[str]()
    for split, found in of_splits.items():
        names = [file.name for file in found]
        if len(found) != 2:
            raise UserError(
                f"{path} needs two files for its {split} split, one for each language, and has "
                f"{files.number(len(found), 'file')}: {', '.join(names)}"
            )
        endings.add(" and ".join(_parts(file)[1] for file in found))
    if len(endings) > 1:
        raise UserError(
            f"the files in {path} need the same two endings in each split, and have "
            f"{', '.join(sorted(endings))}"
        )
    return {s: (of_splits[s][0], of_splits[s][1]) for s in SPLITS if s in of_splits}


def _only_pair(plain: list[Path]) -> dict[str, tuple[Path, Path]]:
    """Returns the two files with one name and two endings, or else the two .txt files."""
    stems: dict[str, list[Path]] = {}
    for file in plain:
        if _parts(file)[1]:
            stems.setdefault(_parts(file)[0], []).append(file)
    pairs = [found for found in stems.values() if len(found) == 2]
    texts = [file for file in plain if file.suffix.lower() == ".txt"]
    if len(pairs) != 1 and len(texts) == 2:
        pairs = [texts]
    return {"": (pairs[0][0], pairs[0][1])} if len(pairs) == 1 else {}


def _parts(file: Path) -> tuple[str, str]:
    """Returns the name of a file before its ending, and the ending, without `.txt` behind it."""
    name = Path(file.name[: -len(".txt")] if file.suffix.lower() == ".txt" else file.name)
    return name.stem, name.suffix.lower()


def _lines(source: Path, target: Path, config: Config) -> Table:
    """Returns the lines of two files as a table, of which none is empty."""
    columns, notes = dict[str, Column](), list[str]()
    for name, path in zip(TEXTS, (source, target), strict=True):
        file = encodings.opened(path, config.encoding)
        columns[name] = column_of(line.removesuffix("\n") for line in file)
        notes += file.notes
    if len(columns["source"]) != len(columns["target"]):
        columns = {name: _without_blank_end(column) for name, column in columns.items()}
    numbers = [len(column) for column in columns.values()]
    if numbers[0] != numbers[1]:
        raise UserError(
            f"{source} has {files.number(numbers[0], 'line')}, but {target} has "
            f"{numbers[1]:,}; each line needs its translation in the same line of the other file"
        )
    if not numbers[0]:
        raise UserError(f"{source} and {target} have no lines")
    table = Table(source, columns, range(1, numbers[0] + 1), notes=tuple(notes))
    problems = {
        row: f"the line is empty in {' and in '.join(empty)}"
        for row, pair in enumerate(zip(*columns.values(), strict=True))
        if (
            empty := [
                file.name
                for text, file in zip(pair, (source, target), strict=True)
                if not text.strip()
            ]
        )
    }
    return tables.leave_out(table, problems, config)


def _without_blank_end(column: Column) -> Column:
    size = len(column)
    while size and not column[size - 1].strip():
        size -= 1
    return taken(column, np.arange(size))
