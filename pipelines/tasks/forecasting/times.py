"""Times as they stand in tables: dates, times of day with dates, months, quarters, numbers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import numpy as np

from pipelines.datasets.stored import Stored, stored
from pipelines.tasks.forecasting import numbers
from pipelines.tasks.forecasting.cells import parts

# A local time and its offset from UTC.
_Moment = tuple[datetime, timedelta | None]
_LOCAL, _OFFSET = "datetime64[us]", "timedelta64[us]"

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_MONTH = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? +)?"
_ZONE = r"(?: ?(?P<zone>z|utc|gmt|[+-]\d\d(?::?\d\d)?))?"
_CLOCK = (
    r"(?:(?:t|,? +)(?P<H>\d\d?)(?::?(?P<M>\d\d)(?::?(?P<S>\d\d)(?:[.,](?P<f>\d{1,9}))?)?)?"
    rf"(?: ?(?P<half>[ap])\.?m\.?)?{_ZONE})?"
)
_CLOCK_ALONE = re.compile(r"\d\d?:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[ap]\.?m\.?)?", re.IGNORECASE)
_Y, _y, _m, _d = r"(?P<Y>\d{4})", r"(?P<y>\d\d)", r"(?P<m>\d\d?)", r"(?P<d>\d\d?)"
_SEPARATOR = r"(?P<s>[-/.])"

# The forms of times, tried in turn. Those that several of fit, as 01/02/2005, are neighbors.
_FORMS = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "year-month-day": rf"{_Y}{_SEPARATOR}{_m}(?:(?P=s){_d}{_CLOCK})?",
        "day/month/year": rf"{_d}{_SEPARATOR}{_m}(?P=s)(?:{_Y}|{_y}){_CLOCK}",
        "month/day/year": rf"{_m}{_SEPARATOR}{_d}(?P=s)(?:{_Y}|{_y}){_CLOCK}",
        "year/month/day": rf"{_y}{_SEPARATOR}{_m}(?P=s){_d}{_CLOCK}",
        "month/year": rf"{_m}[-/.]{_Y}",
        "day month year": rf"{_WEEKDAY}{_d}\.?[- /]?{_MONTH}[- /,]*(?:{_Y}|{_y}){_CLOCK}",
        "month day year": rf"{_WEEKDAY}{_MONTH}[- ]?{_d},?[- ]+{_Y}{_CLOCK}",
        "month year": rf"{_MONTH}[- /,]*(?:{_Y}|'?{_y})",
        "year month": rf"{_Y}[- /]?{_MONTH}(?:[- ]{_d}{_CLOCK})?",
        "year and quarter": rf"{_Y}[- /]?q(?P<q>[1-4])",
        "quarter and year": rf"q(?P<q>[1-4])[- /]*{_Y}",
        "year and month": rf"{_Y}[- ]?m(?P<m>\d\d?)",
        "year and week": rf"{_Y}[- ]?w(?P<w>\d\d?)(?:-(?P<u>[1-7]))?",
        "yearmonthday": r"(?P<Y>1[5-9]\d\d|2[01]\d\d)(?P<m>[01]\d)(?P<d>[0-3]\d)"
        rf"{_CLOCK}",
        "yearmonthday and clock": r"(?P<Y>1[89]\d\d|2[01]\d\d)(?P<m>0[1-9]|1[0-2])(?P<d>[0-3]\d)"
        r"(?P<H>[01]\d|2[0-4])(?:(?P<M>[0-5]\d)(?P<S>[0-5]\d)?)?",
        "yearmonth": r"(?P<Y>1[5-9]\d\d|2[01]\d\d)(?P<m>0[1-9]|1[0-2])",
    }.items()
}
# Tried where weeks beyond the twelfth and several years tell that they are none of months.
_WEEKS = re.compile(r"(?P<Y>1[89]\d\d|2[01]\d\d)(?P<w>0[1-9]|[1-4]\d|5[0-3])")
# Dates in digits alone that were numbers with decimals for a while, as spreadsheets leave them.
_DECIMALS = re.compile(r"(\d{6}|\d{8}|\d{10}|\d{12}|\d{14})[.,]0+")
# What NumPy reads.
_ISO = re.compile(
    r"[12][0-9]{3}-[01][0-9]-[0-3][0-9]"
    r"(?:[T ][0-9]{2}(?::[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?)?Z?)?"
)
# Years of two digits from 69 on are in the 20th century, as strptime has it.
_CENTURY = 69
# Seconds since 1970 from 1973 on, and thousandths, millionths and so on of them.
_UNIX = (
    (1e8, 5e9, 10**6, "seconds"),
    (1e11, 5e12, 10**3, "milliseconds"),
    (1e14, 5e15, 1, "microseconds"),
    (1e17, 5e18, 1e-3, "nanoseconds"),
)


@dataclass(frozen=True, eq=False)
class Times:
    """Texts read as times.

    Attributes:
        form: How they were read, as "day/month/year".
        values: [rows], datetime64[us] or numbers.
        note: What is worth knowing about it, in a sentence's part, or "".
    """

    form: str
    values: np.ndarray
    note: str = ""


def readings(texts: Sequence[str], decimal: str = ".") -> list[Times]:
    """Returns each way in which all texts are times; none if there is none, several if unclear.

    Args:
        texts: At least one.
        decimal: The decimal mark of numbers.
    """
    iso = _read(_parts(texts), _iso)
    if iso is not None:
        return _zoned("year-month-day", iso)
    found = []
    for name, form in _FORMS.items():
        moments = _read(_parts(texts), partial(_moments, partial(_moment, form)))
        if moments is not None:
            found += _zoned(name, moments)
    if found:
        return _different(found)
    weeks = _read(_parts(texts), partial(_moments, partial(_moment, _WEEKS)))
    if weeks is not None and len({text[:4] for part in _parts(texts) for text in part}) > 1:
        return _zoned("year and week", weeks)
    values = _read(_parts(texts), partial(numbers.values, decimal=decimal), np.float64)
    if values is None or not np.isfinite(values).all():
        return []
    return [_numeric(values, texts)]


def odd(texts: Sequence[str], decimal: str = ".") -> list[int]:
    """Returns the rows whose texts are no times of the form that most of them have."""
    parses: list[Callable[[str], object]] = [partial(_moment, form) for form in _FORMS.values()]
    parses.append(partial(numbers.value, decimal=decimal))

    def wrong(parse: Callable[[str], object]) -> Iterator[int]:
        return (row for row, text in enumerate(texts) if parse(_plain(text)) is None)

    def count(parse: Callable[[str], object]) -> int:
        return sum(1 for _ in wrong(parse))

    return list(wrong(min(parses, key=count)))


def formatted(texts: Sequence[str], form: str) -> tuple[list[Times], int]:
    """Returns texts read in a format of `strptime`, or the first row that is not in it.

    Returns:
        The readings, and the number of the row, -1 if all fit.
    """

    def parsed(text: str) -> _Moment | None:
        try:
            moment = datetime.strptime(text.strip(), form)
        except ValueError:
            return None
        return moment.replace(tzinfo=None), moment.utcoffset()

    moments = _read(_parts(texts, str.strip), partial(_moments, parsed))
    if moments is None:
        return [], next(row for row, text in enumerate(texts) if parsed(text) is None)
    return _zoned(form, moments), -1


def is_clock(text: str) -> bool:
    """Returns whether a text is a time of day without a date, as "23:00"."""
    return _CLOCK_ALONE.fullmatch(text.strip()) is not None


def is_date(text: str) -> bool:
    """Returns whether a text is a date in any form, and no plain number."""
    return any(_moment(form, text.strip()) for form in _FORMS.values())


def shown(time: np.generic) -> str:
    """Returns a time as short as it can be written, as "2021-01-31" or "17"."""
    if not isinstance(time, np.datetime64):
        return f"{float(time):.12g}"
    return str(shortest(np.array([time]))[0]).replace("T", " ")


def shortest(values: np.ndarray) -> np.ndarray:
    """Returns times in the largest unit, from days on, that holds them; numbers as they are."""
    if values.dtype.kind != "M":
        return values
    for unit in ("D", "m", "s", "ms"):
        coarse = values.astype(f"datetime64[{unit}]")
        if np.all(coarse == values):
            return coarse
    return values


def _plain(text: str) -> str:
    """Returns a text without spaces around it, and a date in digits without decimals."""
    return _DECIMALS.sub(r"\1", text) if _DECIMALS.fullmatch(text := text.strip()) else text


def _different(found: Sequence[Times]) -> list[Times]:
    """Returns readings without those whose times are the same, as of 01/01/1970."""
    kept = list[Times]()
    for one in found:
        if not any(np.array_equal(one.values, other.values) for other in kept):
            kept.append(one)
    return kept


def _parts(texts: Sequence[str], clean: Callable[[str], str] = _plain) -> Iterator[list[str]]:
    return (list(map(clean, part)) for part in parts(texts))


def _read(
    column_parts: Iterable[Sequence[str]],
    parse: Callable[[Sequence[str]], np.ndarray | None],
    dtype: np.typing.DTypeLike = np.int64,
) -> np.ndarray | None:
    """Returns what the parts of a column are parsed to, [rows, ...], or none if one is not."""
    column = None
    for part in column_parts:
        parsed = parse(part)
        if parsed is None:
            return None
        column = column or Stored(dtype, parsed.shape[1:])
        column.append(parsed)
    return column.column() if column else None


def _iso(texts: Sequence[str]) -> np.ndarray | None:
    """Returns what `_moments` does of texts that NumPy reads, or none if it does not read one."""
    if not all(map(_ISO.fullmatch, texts)):
        return None
    in_utc = [text.endswith("Z") for text in texts]
    try:
        local = np.array([text.removesuffix("Z") for text in texts], _LOCAL)
    except ValueError:  # There is no February 30.
        return None
    offset = np.where(in_utc, np.timedelta64(0, "us"), np.timedelta64("NaT", "us"))
    return np.stack([local.view(np.int64), offset.view(np.int64)], 1)


def _moments(parse: Callable[[str], _Moment | None], texts: Sequence[str]) -> np.ndarray | None:
    """Returns (local time, offset from UTC) of texts in microseconds, int64 [texts, 2].

    Returns none as soon as a text is no time. Where there is no offset, it is that of NaT.
    """
    found = list(itertools.takewhile(lambda one: one is not None, map(parse, texts)))
    if len(found) < len(texts):
        return None
    local, offsets = zip(*found, strict=True)
    return np.stack(
        [np.array(local, _LOCAL).view(np.int64), np.array(offsets, _OFFSET).view(np.int64)], 1
    )


def _moment(form: re.Pattern[str], text: str) -> _Moment | None:
    """Returns the local time that a text means and its offset from UTC, or none if it has none."""
    match = form.fullmatch(text)
    if match is None:
        return None
    group = match.groupdict()
    year = int(group["Y"]) if group.get("Y") else int(group["y"])
    if not group.get("Y"):
        year += 1900 if year >= _CENTURY else 2000
    if group.get("name"):
        month = _MONTHS.index(group["name"][:3].lower()) + 1
    else:
        month = int(group.get("m") or 3 * int(group.get("q") or 1) - 2)
    hour, half = int(group.get("H") or 0), (group.get("half") or "").lower()
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    minute, second = int(group.get("M") or 0), int(group.get("S") or 0)
    micro = int(f"{group['f']:<06}"[:6]) if group.get("f") else 0
    late = hour == 24 and not minute and not second  # The end of a day.
    try:
        if group.get("w"):
            moment = datetime.fromisocalendar(year, int(group["w"]), int(group.get("u") or 1))
        else:
            day = int(group.get("d") or 1)
            moment = datetime(year, month, day, 0 if late else hour, minute, second, micro)
        if late:
            moment += timedelta(days=1)
    except (ValueError, OverflowError):
        return None
    zone = (group.get("zone") or "").lower()
    if not zone:
        return moment, None
    digits = re.sub("[^0-9]", "", zone).ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return moment, -offset if zone.startswith("-") else offset


def _zoned(name: str, moments: np.ndarray) -> list[Times]:
    """Returns local times; where their offsets from UTC differ, times in UTC before them."""
    local, shift = moments[:, 0].view(_LOCAL), moments[:, 1].view(_OFFSET)
    offsets = np.unique(shift)
    if len(offsets) == 1:
        return [Times(name, local)]
    if np.isnat(offsets).any():
        return []
    return [
        Times(name, local - shift, "their offsets from UTC differ: they are taken in UTC"),
        Times(name, local, "their offsets from UTC differ, and their steps are even in local time"),
    ]


def _micros(texts: Sequence[str], factor: float) -> np.ndarray:
    """Returns whole microseconds of numbers, more exactly than float64 has them."""
    exact = [int(text) if text.isdigit() else int(float(text)) for text in texts]
    return np.array([int(one // 1000 if factor < 1 else one * factor) for one in exact])


def _numeric(values: np.ndarray, texts: Sequence[str]) -> Times:
    whole = np.all(values == np.floor(values))
    if not whole:
        return Times("numbers", values)
    if np.abs(values).max() < 2**53:
        values = values.astype(np.int64)
    for low, high, factor, unit in _UNIX:
        if low <= values.min() and values.max() < high:
            micros = stored((_micros(part, factor) for part in _parts(texts)), np.int64)
            return Times(unit, micros.view(_LOCAL), f"read as {unit} since 1970, UTC")
    return Times("numbers", values)
