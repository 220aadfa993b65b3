"""Small pre-trained encoders that this package carries: `--encoder builtin:NAME`.

Each is a folder here with what `pretrained.write` writes and README.md, its model card.
`encoders.json` has what an encoder was trained on and by which command, and the SHA-256 of its
files. `make_encoder.py` makes one from a run:

    python -m pipelines.text.make_encoder NAME runs:/ID COMMAND
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pipelines.errors import UserError

PREFIX = "builtin:"
FOLDER = Path(__file__).parent
_RECORDS = "encoders.json"
_CARD = "README.md"


def find(uri: str, option: str = "--encoder", folder: Path = FOLDER) -> Path:
    """Returns the directory of the encoder `builtin:NAME`.

    Args:
        uri: The encoder.
        option: The option that chooses it, for errors.
        folder: The folder of the encoders.

    Raises:
        UserError: There is none of that name, or its files are not those that were recorded.
    """
    records, name = _records(folder), uri.removeprefix(PREFIX)
    if name not in records:
        known = ", ".join(PREFIX + each for each in records) or "none"
        raise UserError(f"{option} {uri} does not exist; there are: {known}")
    for file, digest in records[name]["sha256"].items():
        path = folder / name / file
        if not path.is_file():
            raise UserError(f"{path} is missing; reinstall the project")
        if _digest(path) != digest:
            raise UserError(f"{path} is damaged (its SHA-256 is another); reinstall the project")
    return folder / name


def write(
    name: str, encoder: Path, *, command: str, dataset: str, license: str, folder: Path = FOLDER
) -> None:
    """Writes an encoder and its record; an existing one, except its card, is replaced.

    Args:
        name: The encoder is `builtin:NAME`.
        encoder: A directory that `pretrained.write` wrote.
        command: What trained it.
        dataset: Name and version of what it was trained on.
        license: License of that.
        folder: The folder of the encoders.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(shutil.copytree(encoder, Path(scratch) / name))
        record = {
            "command": command,
            "dataset": dataset,
            "license": license,
            "sha256": {file.name: _digest(file) for file in sorted(made.iterdir())},
        }
        card = folder / name / _CARD
        if card.exists():
            shutil.copy(card, made)
        shutil.rmtree(folder / name, ignore_errors=True)
        made.rename(folder / name)
        records = Path(scratch) / _RECORDS
        table = dict(sorted({**_records(folder), name: record}.items()))
        records.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
        records.rename(folder / _RECORDS)


def _records(folder: Path) -> dict[str, dict[str, Any]]:
    file = folder / _RECORDS
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
