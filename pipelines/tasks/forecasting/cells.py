"""The texts of a column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, overload

from pipelines.datasets.tables import Table
from pipelines.datasets.text_columns import Column
from pipelines.tasks.forecasting import numbers

# So many rows tell what a column has.
ROWS_TRIED = 1000
# So many are texts of Python at once.
_PART = 1 << 12


@dataclass(frozen=True, eq=False)
class Cells(Sequence[str]):
    """Columns, one after the other, as text, "" for nothing.

    A slice of rows that follow each other is a list.
    """

    columns: Sequence[Column]

    def __len__(self) -> int:
        return sum(map(len, self.columns))

    @overload
    def __getitem__(self, key: int) -> str: ...
    @overload
    def __getitem__(self, key: slice) -> list[str]: ...
    def __getitem__(self, key: Any) -> Any:
        rows = range(len(self))[key]
        if isinstance(rows, int):
            return self[rows : rows + 1][0]
        found, first = list[str](), 0
        for column in self.columns:
            part = column[max(0, rows.start - first) : max(0, rows.stop - first)]
            found += ["" if value is None else str(value) for value in part]
            first += len(column)
        return found

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(parts(self))


def parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yields texts in lists, one after the other, so that few are in memory at once."""
    return (texts[start : start + _PART] for start in range(0, len(texts), _PART))


def texts(table: Table, name: str) -> Cells:
    """Returns a column as text, "" for nothing."""
    return Cells([table.columns[name]])


def filled(table: Table, name: str) -> list[str]:
    """Returns the first texts of a column that are not missing."""
    first = texts(table, name)[:ROWS_TRIED]
    return [text.strip() for text in first if not numbers.is_missing(text)]
