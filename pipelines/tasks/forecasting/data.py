"""Windows of a series: what was known at an origin, and what came after it.

The window of origin t is (values[t - history : t], values[t : t + horizon]). An origin belongs to a
split if all of its horizon lies in it, so that no step that validation or test are scored on is a
target of training. Histories may reach back into the split before: at the origin they are known.

A series is an embedded set, or a CSV or Parquet file of the user's: a row per step, in time order.
Its splits are stretches of time, 70 %, 15 % and 15 %.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view

from pipelines.datasets import loading
from pipelines.datasets.builders.series import ENDS, SEASONS
from pipelines.errors import UserError
from pipelines.tasks.forecasting.config import ForecastingConfig


@dataclass(frozen=True, eq=False)
class SeriesData:
    """A series in windows.

    Attributes:
        name: TFDS name, or that of the file.
        version: Version of the data set.
        digest: Fingerprint of the data.
        values: float64 [steps], in the series' own unit.
        times: [steps], dates or numbers.
        ends: Where each split ends; it begins where the one before ends.
        season: Steps of a season, 1 without one.
        history: Steps that a forecast looks back.
        horizon: Steps that it looks ahead.
    """

    name: str
    version: str
    digest: str
    values: np.ndarray
    times: np.ndarray
    ends: dict[str, int]
    season: int
    history: int
    horizon: int

    @property
    def scale(self) -> float:
        """Mean absolute error of the one-season-ahead naive forecast within train."""
        known = self.values[: self.ends["train"]]
        return float(np.abs(known[self.season :] - known[: -self.season]).mean())

    @property
    def sizes(self) -> dict[str, int]:
        """Number of windows in each split."""
        return {split: len(self.origins(split)) for split in self.ends}

    @property
    def example_bytes(self) -> int:
        """Size of one history in memory."""
        return 4 * self.history

    @property
    def train(self) -> tf.data.Dataset:
        """(float32 [history], float32 [horizon]) windows, unbatched, as the others."""
        return self._windows("train")

    @property
    def validation(self) -> tf.data.Dataset:
        """What choices look at."""
        return self._windows("validation")

    @property
    def test(self) -> tf.data.Dataset:
        """What is reported, once."""
        return self._windows("test")

    def origins(self, split: str) -> np.ndarray:
        """Returns the first step, int [windows], of each horizon within a split."""
        before = [end for end in self.ends.values() if end < self.ends[split]]
        start = max([self.history, *before])
        return np.arange(start, self.ends[split] - self.horizon + 1)

    def histories(self, split: str) -> np.ndarray:
        """Returns what was known at each origin, float32 [windows, history]."""
        every = sliding_window_view(self.values, self.history)
        return every[self.origins(split) - self.history].astype(np.float32)

    def futures(self, split: str) -> np.ndarray:
        """Returns what came after each origin, float32 [windows, horizon]."""
        every = sliding_window_view(self.values, self.horizon)
        return every[self.origins(split)].astype(np.float32)

    def raw(self, split: str) -> dict[str, np.ndarray]:
        """Returns the scale of MASE and the block of each window, [windows].

        Neighbouring windows share most of their steps, so what is resampled are blocks of a
        horizon's windows.
        """
        count = len(self.origins(split))
        return {
            "scale": np.full(count, self.scale),
            "block": np.arange(count) // self.horizon,
        }

    def _windows(self, split: str) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((self.histories(split), self.futures(split)))


def load(config: ForecastingConfig) -> SeriesData:
    """Opens the series that `config` names and cuts it into windows.

    Raises:
        UserError: The set or file cannot be had, its column cannot be forecast, or the series is
            too short.
    """
    path = Path(config.dataset).expanduser()
    if path.suffix in _READERS:
        table = _table(path)
        values, times = _column(table, config.column, path)
        count = len(values)
        name = loading.own_name(path)
        version = "1.0.0"
        digest = hashlib.sha256(values.tobytes() + "".join(map(str, times)).encode())
        ends = {split: round(share * count) for split, share in ENDS.items()}
        return _checked(
            SeriesData(
                name,
                version,
                digest.hexdigest()[:12],
                values,
                times,
                ends,
                config.season or 1,
                config.history,
                config.horizon,
            )
        )
    if config.column:
        raise UserError(f"--column is for CSV and Parquet files, not for {config.dataset!r}")
    builder = loading.prepared(
        config.dataset, data_dir=config.data_dir, manual_dir=config.manual_dir
    )
    if {"time", "value"} != set(builder.info.features or ()):
        raise UserError(
            f"{builder.name} is no time series; there are: {', '.join(SEASONS)}, "
            "and your own CSV or Parquet files"
        )
    steps = [
        step
        for split in ENDS
        for step in builder.as_dataset(split=split, shuffle_files=False).as_numpy_iterator()
    ]
    sizes = [builder.info.splits[split].num_examples for split in ENDS]
    return _checked(
        SeriesData(
            builder.name,
            str(builder.info.version),
            loading.digest(builder),
            np.array([step["value"] for step in steps], np.float64),
            np.array([step["time"].decode() for step in steps], "datetime64[D]"),
            dict(zip(ENDS, np.cumsum(sizes).tolist(), strict=True)),
            config.season or SEASONS.get(builder.name, 1),
            config.history,
            config.horizon,
        )
    )


_READERS = {".csv": pd.read_csv, ".parquet": pd.read_parquet}


def _table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        table = _READERS[path.suffix](path)
    except (ValueError, OSError) as error:  # Of both readers, for all that is damaged.
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{path} cannot be read as {path.suffix[1:]}: {reason}") from error
    if not isinstance(table.index, pd.RangeIndex):  # Parquet keeps times there.
        table = table.reset_index()
    return table


def _column(table: pd.DataFrame, wanted: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns the values to forecast, float64 [steps], and their times, [steps].

    The first column is the time unless it is the one to forecast; the steps are counted then.
    """
    names = [str(name) for name in table.columns]
    table = table.set_axis(names, axis=1)
    numeric = [name for name in names if pd.api.types.is_numeric_dtype(table[name])]
    if not wanted:
        candidates = [name for name in numeric if name != names[0]] or numeric
        if len(candidates) != 1:
            raise UserError(
                f"{path} has {len(candidates)} numeric columns to forecast; choose one of its "
                f"columns as --column: {', '.join(names)}"
            )
        wanted = candidates[0]
    if wanted not in names:
        raise UserError(f"{path} has no column {wanted!r}; it has: {', '.join(names)}")
    if wanted not in numeric:
        raise UserError(f"column {wanted!r} of {path} is not numeric, as {table[wanted].iloc[0]!r}")
    values = table[wanted].to_numpy(np.float64, na_value=np.nan)
    if len(missing := np.flatnonzero(~np.isfinite(values))):
        raise UserError(
            f"column {wanted!r} of {path} has {len(missing)} missing or infinite values, the "
            f"first in row {missing[0] + 1}; fill them or leave their rows out"
        )
    if wanted == names[0]:
        return values, np.arange(len(values))
    return values, _times(table[names[0]], path)


def _times(column: pd.Series, path: Path) -> np.ndarray:
    """Returns dates or numbers, [steps], that increase from row to row."""
    times = column
    if not pd.api.types.is_numeric_dtype(column):
        times = pd.to_datetime(column, errors="coerce", utc=True).dt.tz_localize(None)
    if len(unknown := np.flatnonzero(times.isna())):
        raise UserError(
            f"the first column of {path} has to be the time; {column.name!r} has "
            f"{column.iloc[unknown[0]]!r} in row {unknown[0] + 1}"
        )
    array = times.to_numpy()
    if len(back := np.flatnonzero(array[1:] <= array[:-1])):
        raise UserError(
            f"the rows of {path} have to be in order of time, one per step; "
            f"{column.name!r} does not increase in row {back[0] + 2}"
        )
    return array


def _checked(data: SeriesData) -> SeriesData:
    stretches = dict(zip(ENDS, np.diff([0, *data.ends.values()]).tolist(), strict=True))
    needed = max(data.history, 2 * data.season, 10) + data.horizon
    if stretches["train"] < needed or min(stretches.values()) < data.horizon:
        raise UserError(
            f"{data.name} is too short: of its {len(data.values)} steps train has "
            f"{stretches['train']}, validation {stretches['validation']}, test "
            f"{stretches['test']}; --history {data.history}, --horizon {data.horizon} and a season "
            f"of {data.season} need {needed} and twice {data.horizon}"
        )
    if not data.scale:
        raise UserError(
            f"{data.name} repeats itself exactly every {data.season} steps; there is nothing to "
            "learn"
        )
    return data
