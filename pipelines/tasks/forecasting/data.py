"""Windows of series: the past that is known at an origin, and the future to forecast.

The window of origin t is (values[t - history : t], values[t : t + horizon]). An origin belongs to a
split if all of its horizon lies in it, so that no step that validation or test are scored on is a
target of training. Histories may reach back into the split before: at the origin they are known.

Series are a bundled set or the user's own table, which `reading` reads. Each is split by itself
into consecutive periods, 70 %, 15 % and 15 % of its steps, and no window crosses from one to
another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.datasets import in_memory, loading, lookup
from pipelines.datasets.builders.series import CALENDARS, SEASONS, UNITS
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.loading import Identity
from pipelines.datasets.splitting import SPLITS
from pipelines.datasets.stored import Stored, stored
from pipelines.errors import UserError
from pipelines.tasks.forecasting import checks, covariates, reading
from pipelines.tasks.forecasting.config import ForecastingConfig
from pipelines.tasks.forecasting.covariates import Covariates
from pipelines.tasks.forecasting.scaling import Scaling, by_series, by_window
from pipelines.tasks.forecasting.series import Series
from pipelines.tasks.forecasting.windows import WindowExamples

# Windows whose level and deviation are computed at once.
_CHUNK = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class SeriesData(Dataset):
    """Series in windows.

    An example is a dict of "history", float32 [history] in standard units, with its "level" and
    "deviation", float64, and where there are covariates, "covariates", float32
    [history + horizon, features]; the future in the same units, float32 [horizon]; and a weight,
    float32, that makes the loss the error over the series' scale. The examples of a split are those
    of each series after another.

    Attributes:
        series: At least one.
        season: Steps of a season, 1 without one.
        history: Length of the input window in steps.
        horizon: Forecast horizon in steps.
        scaling: What histories are standardized with.
        covariates: What is known in advance.
    """

    series: Sequence[Series]
    season: int
    history: int
    horizon: int
    scaling: Scaling
    covariates: Covariates

    def contents(self, split: str) -> None:
        """Returns nothing: windows overlap."""

    def origins(self, split: str) -> list[np.ndarray]:
        """Returns the first step of each horizon within a split, int [windows], by series."""
        return [series.origins(split, self.history, self.horizon) for series in self.series]

    def histories(self, split: str) -> np.ndarray:
        """Returns the input window of each origin, float64 [windows, history], in its own unit."""
        return np.concatenate(
            [
                series.windows(origins - self.history, self.history)
                for series, origins in zip(self.series, self.origins(split), strict=True)
            ]
        )

    def futures(self, split: str) -> np.ndarray:
        """Returns the truth from each origin on, float64 [windows, horizon], in its own unit."""
        return np.concatenate(
            [
                series.windows(origins, self.horizon)
                for series, origins in zip(self.series, self.origins(split), strict=True)
            ]
        )

    def raw(self, split: str) -> dict[str, np.ndarray]:
        """Returns the columns of a split, and the truth in its own unit as "target"."""
        return {**super().raw(split), "target": self.futures(split)}


def load(config: ForecastingConfig) -> SeriesData:
    """Opens the series that `config` names and cuts them into windows.

    Raises:
        UserError: The set or file cannot be had or read, or its series cannot be forecast.
    """
    if path := lookup.own_path(config.dataset):
        found = reading.read(path, config)
        identity = loading.own_identity(path, _digest(found.series), config.max_examples)
        season = config.season or 1
        kept, notes, left_out = checks.fit(found.series, str(path), season, config)
        kept = _with_few_windows(kept, config.max_examples)
        return cut(
            identity,
            kept,
            season=season,
            history=config.history,
            horizon=config.horizon,
            scaling=_scaling(kept, season, config),
            known=covariates.of(kept, found.covariates, config.calendar_names(), str(path)),
            notes=[*found.notes, *notes],
            left_out={split: found.left_out[split] + left_out[split] for split in SPLITS},
        )
    given = {name: getattr(config, name) for name in ("column", "group", "time", "covariates")}
    if option := next((name for name, value in given.items() if value), ""):
        raise UserError(f"--{option} is for your own files, not for {config.dataset!r}")
    # Windows are counted, not steps.
    source = loading.open_dataset(replace(config, max_examples=0))
    source = replace(source, part=str(config.max_examples or ""))
    name = source.builder.name
    if {"time", "value"} != set(source.builder.info.features or ()):
        raise UserError(
            f"{name} is not a time series; the bundled ones are: {', '.join(SEASONS)}; "
            "your own CSV, JSON lines or Parquet files work too"
        )
    steps = [step for split in SPLITS for step in source.read(split).as_numpy_iterator()]
    series = Series(
        "",
        np.array([step["value"] for step in steps], np.float64),
        np.array([step["time"].decode() for step in steps], "datetime64[D]"),
        dict(zip(SPLITS, np.cumsum(list(source.sizes().values())).tolist(), strict=True)),
        unit=UNITS.get(name, ""),
    )
    season = config.season or SEASONS.get(name, 1)
    auto = config.calendar == "auto"
    calendar = CALENDARS.get(name, ()) if auto else config.calendar_names()
    fitting, *_ = checks.fit([series], name, season, config)
    kept = _with_few_windows(fitting, config.max_examples)
    return cut(
        source.identity(),
        kept,
        season=season,
        history=config.history,
        horizon=config.horizon,
        scaling=_scaling(kept, season, config),
        known=covariates.of(kept, (), calendar, name),
    )


def cut(
    identity: Identity,
    series: Sequence[Series],
    *,
    season: int,
    history: int,
    horizon: int,
    scaling: Scaling,
    known: Covariates | None = None,
    notes: Sequence[str] = (),
    left_out: dict[str, int] | None = None,
) -> SeriesData:
    """Cuts series into windows, of which only level and deviation are kept in memory.

    Neighboring windows share most of their steps, so the column "block" makes the bootstrap
    resample blocks of a horizon's windows of one series; the column "scale" is that of MASE.

    Args:
        identity: Name, version and digest.
        series: As in `SeriesData`, as are the others.
        season: Steps of a season.
        history: Length of the input window.
        horizon: Forecast horizon.
        scaling: What histories are standardized with.
        known: What is known in advance; nothing unless told otherwise.
        notes: What was found in the user's own file.
        left_out: By split, rows that are left out.
    """
    known = known or Covariates()
    scales = [one.scale(season) for one in series]
    steps = in_memory.tensor(stored((one.values for one in series), np.float64))
    ahead = None
    if known.width:
        features = Stored(np.float32, (known.width,))
        for one in series:
            features.append(known.of(one))
        ahead = in_memory.tensor(features.column())
    firsts = np.cumsum([0, *(len(one.values) for one in series)])
    arrays, columns = {}, {}
    for split in SPLITS:
        starts, blocks, first_block = Stored(np.int64), Stored(np.int64), 0
        levels, deviations, every_scale = (Stored(np.float64) for _ in range(3))
        weights = Stored(np.float32)
        for one, first, scale in zip(series, firsts, scales, strict=False):
            origins = one.origins(split, history, horizon)
            for place in range(0, len(origins), _CHUNK):
                part = origins[place : place + _CHUNK]
                level, deviation = scaling.of(one.windows(part - history, history), np)
                starts.append(first + part - history)
                levels.append(level)
                deviations.append(deviation)
                # The pinball loss is as large as the unit: times the deviation, it is in the
                # series'.
                weights.append(deviation / scale)
                every_scale.append(np.full(len(part), scale))
                blocks.append(first_block + np.arange(place, place + len(part)) // horizon)
            first_block += -(-len(origins) // horizon)
        arrays[split] = WindowExamples(
            steps=steps,
            ahead=ahead,
            starts=in_memory.tensor(starts.column()),
            levels=in_memory.tensor(levels.column()),
            deviations=in_memory.tensor(deviations.column()),
            weights=in_memory.tensor(weights.column()),
            history=history,
            horizon=horizon,
        )
        columns[split] = {"scale": every_scale.column(), "block": blocks.column()}
    sizes = {split: len(columns[split]["block"]) for split in SPLITS}
    return SeriesData(
        **identity,
        sizes=sizes,
        gathered=arrays["train"],
        **{split: in_memory.examples(arrays[split], sizes[split]) for split in SPLITS},
        columns=columns,
        notes=notes,
        left_out=left_out or {},
        series=tuple(series),
        season=season,
        history=history,
        horizon=horizon,
        scaling=scaling,
        covariates=known,
    )


def _with_few_windows(series: Sequence[Series], most: int) -> list[Series]:
    """Returns series that have about `most` windows in each split together; 0 stands for all."""
    each = -(-most // len(series))
    return [replace(one, max_windows=each) for one in series]


def _scaling(series: Sequence[Series], season: int, config: ForecastingConfig) -> Scaling:
    if config.scaling == "window" or (config.scaling == "auto" and len(series) > 1):
        return by_window(min(one.scale(season) for one in series))
    if len(series) > 1:
        raise UserError(
            f"--scaling series is for one series, and {config.dataset} has {len(series)}: each has "
            "a level of its own; --scaling window standardizes each window by itself"
        )
    return by_series(series[0].known())


def _digest(series: Sequence[Series]) -> str:
    sha = hashlib.sha256()
    for one in series:
        sha.update(one.name.encode())
        sha.update(one.values.tobytes())
        sha.update(one.covariates.tobytes())
        sha.update(str(one.ends).encode())
        for start in range(0, len(one.times), _CHUNK):
            sha.update("".join(map(str, one.times[start : start + _CHUNK])).encode())
    return sha.hexdigest()[:12]
