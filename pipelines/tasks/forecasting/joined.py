"""Tables of splits, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.datasets import files, tables
from pipelines.datasets.tables import Table
from pipelines.errors import UserError
from pipelines.tasks.forecasting import columns
from pipelines.tasks.forecasting.cells import Cells
from pipelines.tasks.forecasting.config import ForecastingConfig

_NEEDS = "a table (.csv, .tsv, .jsonl or .parquet) with a row for each step"


@dataclass(frozen=True, eq=False)
class Joined:
    """Tables one after the other, by split; "" for what is not split."""

    tables: Mapping[str, Table]

    def texts(self, name: str) -> Cells:
        """Returns a column of all tables as text."""
        return Cells([table.columns[name] for table in self.tables.values()])

    def lengths(self) -> list[int]:
        return [len(table) for table in self.tables.values()]

    def place(self, row: int) -> str:
        starts = np.cumsum([0, *self.lengths()])
        index = int(np.searchsorted(starts, row, side="right")) - 1
        return list(self.tables.values())[index].place(int(row - starts[index]))

    def without_unscored(self, names: Sequence[str]) -> tuple[Joined, list[str]]:
        """Returns the tables without one of test that lacks the values to forecast, and a note.

        Competitions keep such values to themselves.
        """
        test = self.tables.get("test")
        if len(self.tables) < 2 or test is None or any(name in test.columns for name in names):
            return self, []
        if test.repeated & set(names):
            return self, []
        others = {split: table for split, table in self.tables.items() if split != "test"}
        note = (
            f"{test.path} has no column {names[0]!r} and is left out; test is cut off the tables "
            "before it"
        )
        return Joined(others), [note]


def open_tables(path: Path, config: ForecastingConfig) -> Joined:
    """Returns the tables that a path holds, in the order of the splits."""
    if path.is_file():
        found = {"": path} if tables.is_table(path) else {}
    else:
        found = files.of_splits(path, tables.READERS)
        single = [child for child in files.children(path) if tables.is_table(child)]
        if not found and len(single) == 1:
            found = {"": single[0]}
    if not found:
        raise files.unlike(path, "forecasting", _NEEDS)
    if "" not in found and "train" not in found:
        raise UserError(f"{path} has no table train; it has: {', '.join(found)}")
    read = {split: tables.read(file, config) for split, file in found.items()}
    for table in read.values():
        columns.check_header(table)
    return Joined(read)
