"""Windows of a series: the past that is known at an origin, and the future to forecast.

The window of origin t is (values[t - history : t], values[t : t + horizon]). An origin belongs to a
split if all of its horizon lies in it, so that no step that validation or test are scored on is a
target of training. Histories may reach back into the split before: at the origin they are known.

A series is a bundled set, or a CSV or Parquet file: a row per step, in time order. Its splits are
consecutive periods, 70 %, 15 % and 15 % of the steps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view

from pipelines.datasets import loading
from pipelines.datasets.builders.series import ENDS, SEASONS
from pipelines.datasets.dataset import SPLITS, Dataset
from pipelines.datasets.loading import Identity
from pipelines.errors import UserError
from pipelines.tasks.forecasting.config import ForecastingConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesData(Dataset):
    """A series in windows: (float32 [history], float32 [horizon]) examples.

    Attributes:
        values: float64 [steps], in the series' own unit.
        times: [steps], dates or numbers.
        ends: Where each split ends; it begins where the one before ends.
        season: Steps of a season, 1 without one.
        history: Length of the input window in steps.
        horizon: Forecast horizon in steps.
        scale: Mean absolute error of the seasonal naive forecast within train.
    """

    values: np.ndarray
    times: np.ndarray
    ends: Mapping[str, int]
    season: int
    history: int
    horizon: int
    scale: float

    def origins(self, split: str) -> np.ndarray:
        """Returns the first step, int [windows], of each horizon within a split."""
        return _origins(self.ends, split, self.history, self.horizon)

    def histories(self, split: str) -> np.ndarray:
        """Returns the input window of each origin, float32 [windows, history]."""
        return _windows(self.values, self.origins(split) - self.history, self.history)

    def futures(self, split: str) -> np.ndarray:
        """Returns the truth from each origin on, float32 [windows, horizon]."""
        return _windows(self.values, self.origins(split), self.horizon)


def load(config: ForecastingConfig) -> SeriesData:
    """Opens the series that `config` names and cuts it into windows.

    Raises:
        UserError: The set or file cannot be had, its column cannot be forecast, or the series is
            too short.
    """
    path = Path(config.dataset).expanduser()
    if path.suffix in _READERS:
        values, times = _column(_table(path), config.column, path)
        digest = hashlib.sha256(values.tobytes() + "".join(map(str, times)).encode())
        identity: Identity = {
            "name": loading.own_name(path),
            "version": "1.0.0",
            "digest": digest.hexdigest()[:12],
        }
        ends = {split: round(fraction * len(values)) for split, fraction in ENDS.items()}
        return _checked(config, identity, values, times, ends, config.season or 1)
    if config.column:
        raise UserError(f"--column is for CSV and Parquet files, not for {config.dataset!r}")
    source = loading.open_dataset(config)
    name = source.builder.name
    if {"time", "value"} != set(source.builder.info.features or ()):
        raise UserError(
            f"{name} is not a time series; the bundled ones are: {', '.join(SEASONS)}; "
            "your own CSV or Parquet files work too"
        )
    steps = [step for split in SPLITS for step in source.read(split).as_numpy_iterator()]
    return _checked(
        config,
        source.identity(),
        np.array([step["value"] for step in steps], np.float64),
        np.array([step["time"].decode() for step in steps], "datetime64[D]"),
        dict(zip(SPLITS, np.cumsum(list(source.sizes().values())).tolist(), strict=True)),
        config.season or SEASONS.get(name, 1),
    )


def cut(
    identity: Identity,
    values: np.ndarray,
    times: np.ndarray,
    ends: Mapping[str, int],
    *,
    season: int,
    history: int,
    horizon: int,
) -> SeriesData:
    """Cuts a series into windows.

    Neighboring windows share most of their steps, so the column "block" makes the bootstrap
    resample blocks of a horizon's windows; the column "scale" is that of MASE.

    Args:
        identity: Name, version and digest.
        values: As in `SeriesData`, as are the others.
        times: [steps].
        ends: Where each split ends.
        season: Steps of a season.
        history: Length of the input window.
        horizon: Forecast horizon.
    """
    known = values[: ends["train"]]
    scale = float(np.abs(known[season:] - known[:-season]).mean())
    origins = {split: _origins(ends, split, history, horizon) for split in SPLITS}
    examples = {
        split: tf.data.Dataset.from_tensor_slices(
            (_windows(values, firsts - history, history), _windows(values, firsts, horizon))
        )
        for split, firsts in origins.items()
    }
    return SeriesData(
        **identity,
        sizes={split: len(firsts) for split, firsts in origins.items()},
        train=examples["train"],
        validation=examples["validation"],
        test=examples["test"],
        columns={
            split: {
                "scale": np.full(len(firsts), scale),
                "block": np.arange(len(firsts)) // horizon,
            }
            for split, firsts in origins.items()
        },
        example_bytes=4 * history,
        values=values,
        times=times,
        ends=ends,
        season=season,
        history=history,
        horizon=horizon,
        scale=scale,
    )


def _origins(ends: Mapping[str, int], split: str, history: int, horizon: int) -> np.ndarray:
    """Returns the first step, int [windows], of each horizon within a split."""
    before = [end for end in ends.values() if end < ends[split]]
    return np.arange(max([history, *before]), ends[split] - horizon + 1)


def _windows(values: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Returns float32 [windows, length], the steps from each start on."""
    return sliding_window_view(values, length)[starts].astype(np.float32)


def _checked(
    config: ForecastingConfig,
    identity: Identity,
    values: np.ndarray,
    times: np.ndarray,
    ends: Mapping[str, int],
    season: int,
) -> SeriesData:
    """Returns the series in windows.

    Raises:
        UserError: A split is too short for a window, or the series repeats itself exactly.
    """
    name, history, horizon = identity["name"], config.history, config.horizon
    lengths = dict(zip(SPLITS, np.diff([0, *ends.values()]).tolist(), strict=True))
    needed = max(history, 2 * season, 10) + horizon
    if lengths["train"] < needed or min(lengths.values()) < horizon:
        raise UserError(
            f"{name} is too short: of its {len(values)} steps train has {lengths['train']}, "
            f"validation {lengths['validation']}, test {lengths['test']}; --history {history}, "
            f"--horizon {horizon} and a season of {season} need {needed} in train and {horizon} in "
            "each of the others"
        )
    data = cut(identity, values, times, ends, season=season, history=history, horizon=horizon)
    if not data.scale:
        raise UserError(
            f"{name} repeats itself exactly every {season} steps; there is nothing to learn"
        )
    return data


_READERS = {".csv": pd.read_csv, ".parquet": pd.read_parquet}


def _table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    try:
        table = _READERS[path.suffix](path)
    except (ValueError, OSError) as error:  # Both readers raise these for damaged files.
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
