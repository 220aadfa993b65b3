"""Makes us_addresses.txt.xz from the source distribution of usaddress 0.5.16, unpacked.

    python -m pipelines.datasets.extracts.make_us_addresses UNPACKED_PACKAGE

The wheel has no `training/labeled.xml`. One line per token, TOKEN TAB LABEL, without white space
around tokens; an empty line ends an address.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

from pipelines.datasets import extracts


def main(package: Path, folder: Path = extracts.FOLDER) -> None:
    addresses = ElementTree.parse(package / "training" / "labeled.xml").getroot()
    text = "\n".join(
        "".join(f"{token.text.strip()}\t{token.tag}\n" for token in address if token.text)
        for address in addresses
    )
    extracts.write(
        "us_addresses.txt",
        text.encode(),
        source="Python package usaddress 0.5.16 (source distribution), training/labeled.xml",
        license=extracts.License(
            "MIT", "usaddress.txt", (package / "LICENSE").read_text(encoding="utf-8")
        ),
        folder=folder,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
