"""The texts of a column."""

from __future__ import annotations

from pipelines.datasets.tables import Table
from pipelines.tasks.forecasting import numbers

# So many rows tell what a column has.
ROWS_TRIED = 1000


def texts(table: Table, name: str) -> list[str]:
    """Returns a column as text, "" for nothing."""
    return ["" if value is None else str(value) for value in table.columns[name]]


def filled(table: Table, name: str) -> list[str]:
    """Returns the first texts of a column that are not missing."""
    return [
        text.strip() for text in texts(table, name)[:ROWS_TRIED] if not numbers.is_missing(text)
    ]
