"""The numbers of a series' tables: how they are read, and rows that have none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.datasets.tables import Table
from pipelines.errors import UserError
from pipelines.tasks.forecasting import cells, columns, numbers, times
from pipelines.tasks.forecasting.config import ForecastingConfig
from pipelines.tasks.forecasting.gaps import Rows
from pipelines.tasks.forecasting.joined import Joined


def decimal_mark(joined: Joined, chosen: columns.Chosen) -> str:
    """Returns the decimal mark of all numbers.

    Raises:
        UserError: It is unclear.
    """
    texts = [text for text in _shapes(joined, chosen) if numbers.is_number(text)]
    first = next(iter(joined.tables.values()))
    mark = numbers.decimal_mark(texts, first.separator)
    if mark in numbers.MARKS:
        return mark
    separated = f" is separated by {first.separator!r} and" if first.separator else ""
    if mark == "?":
        comma, point = (
            next(text for text in texts if numbers.value(text, other) is None)
            for other in numbers.MARKS
        )
        raise UserError(
            f"{first.path}{separated} has numbers with a decimal comma ({comma!r}) and with a "
            f"decimal point ({point!r}); pass the right one as --decimal"
        )
    text = next(text for text in texts if "." in text or "," in text)
    raise UserError(
        f"{first.path}{separated} has numbers such as {text!r}, whose mark may be that of decimals "
        "or of thousands; pass --decimal . or --decimal ,"
    )


def problems(
    table: Table, chosen: columns.Chosen, decimal: str, config: ForecastingConfig
) -> dict[int, str]:
    """Returns what is wrong with rows: no time, group or covariate, or no finite number."""
    found: dict[int, str] = {}
    for name in chosen.needed():
        for row, text in enumerate(cells.texts(table, name)):
            if not text or text.isspace():
                found[row] = f"{name!r} is empty"
    dated = chosen.time is not None and not config.date_format
    texts = cells.texts(table, chosen.time or "") if dated else []
    if texts and not times.readings(texts, decimal):
        wrong = times.odd(texts, decimal)
        bad = set(wrong)
        example = next((text for row, text in enumerate(texts) if row not in bad), "")
        for row in wrong:
            found.setdefault(row, f"{chosen.time!r} is no time as {example!r}: {texts[row]!r}")
    for name in chosen.numbers():
        row, ahead = 0, name in chosen.covariates
        for part in cells.parts(cells.texts(table, name)):
            values = numbers.values(part, decimal)
            if values is None:
                doubtful = np.arange(len(part))
            else:
                doubtful = np.flatnonzero(~np.isfinite(values) if ahead else np.isinf(values))
            for place in doubtful.tolist():
                if problem := _problem(part[place], decimal, ahead):
                    found[row + place] = f"{name!r} {problem}"
            row += len(part)
    return found


def _problem(text: str, decimal: str, ahead: bool) -> str:
    """Returns what is wrong with a number, or ""; one that is known ahead may not be missing."""
    if numbers.is_missing(text):
        return "is empty, and has to be known in advance" if ahead else ""
    number = numbers.value(text, decimal)
    if number is None:
        mark = "point" if decimal == "." else "comma"
        return f"is no number (with a decimal {mark}): {text!r}"
    return "" if np.isfinite(number) else f"is infinite: {text!r}"


def _shapes(joined: Joined, chosen: columns.Chosen) -> list[str]:
    """Returns the first of numbers that are written alike."""
    texts = (text.strip() for name in chosen.numbers() for text in joined.texts(name))
    return numbers.of_each_shape(texts)


def notes(joined: Joined, chosen: columns.Chosen, decimal: str) -> list[str]:
    """Returns a note on how numbers are read, if that is not as everywhere."""
    texts = _shapes(joined, chosen)
    grouped = [text for text in texts if numbers.has_thousands(text, decimal)]
    marked = [text for text in texts if decimal in text and not numbers.is_missing(text)]
    first = next(iter(joined.tables.values()))
    doubtful = first.separator not in (",", "") and all(map(numbers.may_be_thousands, marked))
    if not grouped and not (marked and (decimal == "," or doubtful)):
        return []
    example = (grouped or marked)[0]
    mark = "point" if decimal == "." else "comma"
    return [
        f"{first.path} is read with a decimal {mark}: {example!r} is "
        f"{numbers.value(example, decimal):.12g}"
    ]


def placeholder_notes(rows: Sequence[Rows]) -> list[str]:
    """Returns a note on the first number that may stand for no value."""
    for one in rows:
        number = numbers.placeholder(one.values)
        if number is not None:
            found = np.flatnonzero(one.values == number)
            return [
                f"{one.where(int(found[0]))}: {number:.12g} is far from all other values; if it "
                "means that there is none, leave it empty"
            ]
    return []
