"""A user's own series, from a table: a row for each step, with its time and its value.

    day,units                      day;north;south                  day,shop,units
    2021-01-01,10.5                01.01.2021;1.204,5;981,0         2021-01-01,Oslo,10
    2021-01-02,12.3                02.01.2021;1.310,0;977,5         2021-01-01,Rome,31

The second table has two series (`--column north,south`), the third one for each shop
(`--group shop`). In a folder with the tables train, validation and test, each continues the one
before; one table is split in time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipelines.datasets import files, tables
from pipelines.datasets.builders.series import ENDS
from pipelines.datasets.splitting import SPLITS
from pipelines.datasets.stored import stored
from pipelines.datasets.text_columns import Numbers
from pipelines.errors import UserError
from pipelines.tasks.forecasting import cells, columns, gaps, numbers, time_column, times, values
from pipelines.tasks.forecasting.config import ForecastingConfig
from pipelines.tasks.forecasting.gaps import Rows, Steps
from pipelines.tasks.forecasting.joined import Joined, open_tables
from pipelines.tasks.forecasting.series import Series
from pipelines.tasks.forecasting.times import Times


@dataclass(frozen=True, eq=False)
class Found:
    """Series that were read.

    Attributes:
        series: At least one.
        covariates: Names of the columns that are known in advance.
        notes: What was found and is worth knowing, in sentences.
        left_out: By split, the number of rows that are left out.
    """

    series: Sequence[Series]
    covariates: Sequence[str]
    notes: Sequence[str]
    left_out: Mapping[str, int]


def read(path: Path, config: ForecastingConfig) -> Found:
    """Reads the series of a table, or of a folder with a table for each split.

    Raises:
        UserError: It is no such table, its columns are unclear, a value is no number or a time no
            time, or steps are missing and `missing` is "error".
    """
    joined = open_tables(path, config)
    first = next(iter(joined.tables.values()))
    chosen = columns.choose(first, config)
    joined, unscored = joined.without_unscored(chosen.values)
    used = [*chosen.numbers(), *chosen.needed()]
    for table in joined.tables.values():
        tables.check_columns(table, used)
    decimal = config.decimal or values.decimal_mark(joined, chosen)
    joined = Joined(
        {
            split: tables.leave_out(table, values.problems(table, chosen, decimal, config), config)
            for split, table in joined.tables.items()
        }
    )
    notes = unscored + [note for table in joined.tables.values() for note in table.notes]
    notes += values.notes(joined, chosen, decimal)
    rows = _rows(joined, chosen, decimal)
    found = (time_column.note(first, chosen.time), columns.unread_note(first, chosen))
    notes += filter(None, found)
    if chosen.time is not None:
        once = rows[: len(rows) // len(chosen.values)]
        reading = _reading(joined, chosen.time, decimal, config, once)
        rows = [replace(one, times=reading.values[one.rows]) for one in rows]
        notes += [f"times of {path}: {reading.note}"] * bool(reading.note)
    notes += values.placeholder_notes(rows)
    steps = [gaps.without_gaps(one, config.missing) for one in rows]
    series = [
        Series(
            one.name,
            step.values,
            times.shortest(step.times),
            _ends(step, list(joined.tables)),
            covariates=step.covariates,
        )
        for one, step in zip(rows, steps, strict=True)
    ]
    left_out = dict.fromkeys(SPLITS, 0)
    for split, table in joined.tables.items():
        left_out[split or "train"] += table.left_out
    for one, step in zip(series, steps, strict=True):
        left_out = {split: left_out[split] + n for split, n in _counted(one, step.dropped).items()}
    notes += _step_notes(path, series, steps)
    return Found(series, chosen.covariates, notes, left_out)


def _rows(joined: Joined, chosen: columns.Chosen, decimal: str) -> list[Rows]:
    """Returns the rows of each series with their times counted: all groups, column by column."""
    lengths = joined.lengths()
    periods = np.repeat(np.arange(len(lengths)), lengths)
    groups: dict[tuple[str, ...], Numbers] = {}
    if chosen.groups:
        for row, names in enumerate(zip(*map(joined.texts, chosen.groups), strict=True)):
            group = tuple(name.strip() for name in names)
            groups.setdefault(group, Numbers("q")).append(row)
    every = {names: np.array(rows) for names, rows in groups.items()}
    every = every or {(): np.arange(len(periods))}

    def parsed(column: str) -> np.ndarray:
        parts = (numbers.values(part, decimal) for part in cells.parts(joined.texts(column)))
        return stored(map(np.asarray, parts), np.float64)

    covariates = np.empty((len(periods), len(chosen.covariates)))
    for index, column in enumerate(chosen.covariates):
        covariates[:, index] = parsed(column)
    found = []
    for column in chosen.values:
        values = parsed(column)
        for group, rows in every.items():
            name = ", ".join(filter(None, (*group, column if len(chosen.values) > 1 else "")))
            found.append(
                Rows(
                    name=name,
                    values=values[rows],
                    times=np.arange(len(rows)),
                    periods=periods[rows],
                    rows=rows,
                    place=joined.place,
                    covariates=covariates[rows],
                    others=() if chosen.groups else tuple(chosen.others),
                    parts=tuple(chosen.parts),
                )
            )
    return found


def _reading(
    joined: Joined,
    time: str,
    decimal: str,
    config: ForecastingConfig,
    rows: Sequence[Rows],
) -> Times:
    """Returns the times of all rows.

    Of several ways to read them, the one counts in which the steps of each series are even.

    Raises:
        UserError: A time is none, or may mean several.
    """
    texts = joined.texts(time)
    if config.date_format:
        found, wrong = times.formatted(texts, config.date_format)
        if wrong >= 0:
            raise UserError(
                f"{joined.place(wrong)}: {time!r} is not as --date_format "
                f"{config.date_format} has it: {texts[wrong]!r}"
            )
    else:
        found = times.readings(texts, decimal)
    where = f"{time!r} of {next(iter(joined.tables.values())).path}"
    if not found:
        raise UserError(
            f"{where} has times of several forms, or some with an offset from UTC and some "
            f"without, as {texts[0]!r} and {texts[-1]!r}"
        )
    if len(found) == 1:
        return found[0]
    even = [
        min(gaps.evenness(replace(part, times=one.values[part.rows])) for part in rows)
        for one in found
    ]
    fitting = [one for one, much in zip(found, even, strict=True) if 0 < much == max(even)]
    forms = list(dict.fromkeys(one.form for one in found))
    if len(forms) == 1:  # They differ in the time zone alone.
        return (fitting or found)[0]
    if len({one.form for one in fitting}) != 1:
        example = next((text for text in texts if text != texts[0]), texts[0])
        raise UserError(
            f"{where} may be {files.one_of(forms)}, as {example!r}; pass --date_format, as "
            "%d/%m/%Y for day/month/year"
        )
    example = next((text for text in texts if text != texts[0]), texts[0])
    note = f"{example!r} is read as {fitting[0].form}, in which the steps are even"
    return replace(fitting[0], note="; ".join(filter(None, (note, fitting[0].note))))


def _ends(steps: Steps, splits: Sequence[str]) -> dict[str, int]:
    """Returns where each split ends.

    Without a table of its own, validation is cut off the end of train, and test off the end of
    validation: each split is later than the one before.
    """
    count = len(steps.values)
    if "train" not in splits:
        return {split: round(fraction * count) for split, fraction in ENDS.items()}
    sizes = {split: int(np.sum(steps.periods == i)) for i, split in enumerate(splits)}
    train = sizes["train"]
    if "validation" not in splits:
        # In the same proportion as of a single table.
        part = 1 - ENDS["train"] / (ENDS["validation"] if "test" in splits else ENDS["test"])
        train -= round(part * sizes["train"])
    validation = train + sizes.get("validation", sizes["train"] - train)
    if "test" not in splits:
        validation -= (validation - train) // 2
    return {"train": train, "validation": validation, "test": count}


def _counted(series: Series, positions: np.ndarray) -> dict[str, int]:
    """Returns the number of positions in each split."""
    index = np.searchsorted(list(series.ends.values())[:-1], positions, side="right")
    return {split: int(np.sum(index == number)) for number, split in enumerate(SPLITS)}


def _step_notes(path: Path, series: Sequence[Series], steps: Sequence[Steps]) -> list[str]:
    """Returns what was found in the rows of series; of several, how many and the first one's."""
    notes: dict[str, list[str]] = {}
    for one, step in zip(series, steps, strict=True):
        for note in step.notes:
            notes.setdefault(note, []).append(one.name)
    said = [f"{path}{_which(names)}: {note}" for note, names in notes.items()]
    filled = [step for step in steps if step.interpolated.any()]
    if filled:
        total = dict.fromkeys(SPLITS, 0)
        for one, step in zip(series, steps, strict=True):
            counts = _counted(one, np.flatnonzero(step.interpolated))
            total = {split: total[split] + counts[split] for split in SPLITS}
        longest, ends = max(step.longest for step in filled)
        said.append(
            f"{path}: interpolated steps: {sum(total.values())} ("
            + ", ".join(f"{number} in {split}" for split, number in total.items())
            + f"); the longest gap has {longest}, from {ends}"
        )
    return said


def _which(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f", series {names[0]!r}" if names[0] else ""
    return f", {len(names)} series, as {names[0]!r}"
