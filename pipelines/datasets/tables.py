"""A user's own texts: a folder with a table for each split.

The tables are FOLDER/train.csv, FOLDER/validation.csv and FOLDER/test.csv. Labeled texts have the
columns `text`, `label` and, for pairs of texts, `text_pair`; parallel texts have `source` and
`target`. Parquet and JSON lines (`.parquet`, `.jsonl`) work too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.datasets.splitting import SPLITS
from pipelines.errors import UserError

_READERS: dict[str, Callable[..., pd.DataFrame]] = {
    ".csv": partial(pd.read_csv, keep_default_na=False),
    ".jsonl": partial(pd.read_json, lines=True),
    ".parquet": pd.read_parquet,
}
_LABELED, _PAIR = ("text", "label"), ("text_pair",)


def is_folder_of_tables(dataset: str) -> bool:
    """Returns whether a data set is a folder with at least one of the tables."""
    folder = Path(dataset).expanduser()
    return folder.is_dir() and any(_files(folder, split) for split in SPLITS)


def read(folder: Path) -> tuple[dict[str, dict[str, np.ndarray]], tuple[str, ...], str]:
    """Reads labeled texts.

    Returns:
        By split, "text" and for pairs "text_pair", str [examples], and "target", int64 [examples];
        the labels of the training split in alphabetical order; 12 hexadecimal digits that change
        with the content.

    Raises:
        UserError: A table is missing, cannot be read, lacks a column or a value, or has a label
            that the training split does not have.
    """
    tables, digest = _tables(folder, _LABELED, _PAIR)
    columns = tables["train"].columns
    class_names = tuple(sorted(tables["train"]["label"].unique()))
    numbers = {label: number for number, label in enumerate(class_names)}
    read: dict[str, dict[str, np.ndarray]] = {}
    for split, table in tables.items():
        if set(table.columns) != set(columns):
            raise UserError(
                f"the tables in {folder} differ in their columns: train has {', '.join(columns)}, "
                f"{split} has {', '.join(table.columns)}"
            )
        if unknown := sorted(set(table["label"]) - set(class_names)):
            raise UserError(f"{split} in {folder} has the label {unknown[0]!r}, which train lacks")
        texts = {column: table[column].to_numpy(object) for column in columns if column != "label"}
        target = table["label"].map(numbers).to_numpy(np.int64)
        read[split] = {**texts, "target": target}
    return read, class_names, digest


def read_texts(
    folder: Path, columns: Sequence[str]
) -> tuple[dict[str, dict[str, np.ndarray]], str]:
    """Reads columns of texts.

    Returns:
        By split and column, str [examples]; 12 hexadecimal digits that change with the content.

    Raises:
        UserError: A table is missing, cannot be read, or lacks a column or a value.
    """
    tables, digest = _tables(folder, columns)
    read = {
        split: {column: table[column].to_numpy(object) for column in columns}
        for split, table in tables.items()
    }
    return read, digest


def _tables(
    folder: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> tuple[dict[str, pd.DataFrame], str]:
    """Returns the table of each split and a digest of all of them."""
    tables, digest = {}, hashlib.sha256()
    for split in SPLITS:
        files = _files(folder, split)
        if len(files) != 1:
            kinds = ", ".join(split + suffix for suffix in _READERS)
            raise UserError(f"{folder} needs exactly one of {kinds}; it has {len(files)}")
        tables[split] = _table(files[0], columns, optional)
        digest.update(files[0].read_bytes())
    return tables, digest.hexdigest()[:12]


def _files(folder: Path, split: str) -> list[Path]:
    files = (folder / f"{split}{suffix}" for suffix in _READERS)
    return [file for file in files if file.is_file()]


def _table(path: Path, columns: Sequence[str], optional: Sequence[str]) -> pd.DataFrame:
    """Returns the columns, and the optional columns that the table has, all of them str."""
    try:
        table = _READERS[path.suffix](path)
    except (ValueError, OSError) as error:  # All readers raise one of these for a damaged file.
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{path} cannot be read as {path.suffix[1:]}: {reason}") from error
    found = [column for column in table.columns if column in {*columns, *optional}]
    if missing := sorted(set(columns) - set(found)):
        raise UserError(
            f"{path} has no column {missing[0]!r}; it has: {', '.join(map(str, table.columns))}"
        )
    if not len(table):
        raise UserError(f"{path} has no rows")
    for column in found:
        if len(empty := np.flatnonzero(table[column].isna())):
            raise UserError(f"column {column!r} of {path} has no value in row {empty[0] + 1}")
    return table[found].astype(str)
