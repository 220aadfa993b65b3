"""The output folder: its manifest, which says what belongs into it, its parts, and its lock."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.errors import UserError
from serving.rollout.model_repository import lock, write

# Readers of a folder of Parquet files leave out names that begin so.
MANIFEST, REJECTED = "_manifest.json", "_rejected.jsonl"
_LOCK, _REJECTED_PARTS = ".lock", "_rejected"
_FORMAT = 1


@dataclass(frozen=True)
class Output:
    """The folder that scores are written to.

    `part-N.parquet` has the scored rows of shard N, `_manifest.json` says which shards there are
    and of what, and `_rejected.jsonl` has the rejected rows.
    """

    path: Path

    @property
    def model(self) -> Path:
        """Where a model of a registry is while it is needed."""
        return self.path / ".model"

    @property
    def log(self) -> Path:
        """What TensorFlow says in the processes."""
        return self.path / ".log"

    def part(self, number: int) -> Path:
        return self.path / f"part-{number:05}.parquet"

    def rejected_part(self, number: int) -> Path:
        return self.path / _REJECTED_PARTS / f"part-{number:05}.jsonl"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the folder against other runs, and removes what a killed one was writing.

        Raises:
            UserError: Another run writes here, the folder holds other files, or this user may not
                write here.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            own = (MANIFEST, f".{MANIFEST}.", _LOCK, _REJECTED_PARTS, self.model.name)
            others = [each for each in self.path.iterdir() if not each.name.startswith(own)]
            if others and not (self.path / MANIFEST).exists():
                raise UserError(f"{self.path} holds other files; give a new or an empty folder")
            file = (self.path / _LOCK).open("a+")
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {error.strerror}") from error
        with file:
            lock(file, f"another run is writing to {self.path}")
            for pattern in (
                ".part-*",
                f"{_REJECTED_PARTS}/.part-*",
                f".{MANIFEST}.*",
                f".{REJECTED}",
            ):
                for left in self.path.glob(pattern):
                    left.unlink(missing_ok=True)
            try:
                yield
            finally:
                shutil.rmtree(self.model, ignore_errors=True)
                if not (self.path / MANIFEST).exists():  # Nothing has begun.
                    (self.path / _LOCK).unlink(missing_ok=True)
                    with contextlib.suppress(OSError):
                        self.path.rmdir()

    def manifest(self) -> dict[str, Any] | None:
        """Returns the manifest; None if there is none yet.

        Raises:
            UserError: It is damaged.
        """
        try:
            found = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path / MANIFEST} cannot be read: {error}") from error
        if not isinstance(found, dict) or found.get("format") != _FORMAT:
            raise UserError(f"{self.path / MANIFEST} is no manifest of this program")
        return found

    def begin(self, what: Mapping[str, Any], shards: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Writes the manifest of a new run and returns it."""
        found = {"format": _FORMAT, **what, "shards": shards, "finished": False}
        write(self.path / MANIFEST, json.dumps(found, indent=1) + "\n")
        return found

    def finish(self, manifest: Mapping[str, Any], totals: Mapping[str, int]) -> None:
        """Puts the rejected rows into one file and marks the run as finished."""
        if not manifest["finished"]:
            numbers = range(len(manifest["shards"]))
            parts = [part for part in map(self.rejected_part, numbers) if part.exists()]
            if parts:
                partial = self.path / f".{REJECTED}"
                with partial.open("wb") as whole:
                    for part in parts:
                        with part.open("rb") as file:
                            shutil.copyfileobj(file, whole)
                    os.fsync(whole.fileno())
                os.replace(partial, self.path / REJECTED)
            text = json.dumps({**manifest, **totals, "finished": True}, indent=1)
            write(self.path / MANIFEST, text + "\n")
        shutil.rmtree(self.path / _REJECTED_PARTS, ignore_errors=True)
        self.log.unlink(missing_ok=True)


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Returns in what two manifests differ, as a part of a sentence; empty if they do not.

    What `now` does not have is not compared.
    """
    for key, what in (
        ("model", "the model"),
        ("signature", "the signature"),
        ("inputs", "the input"),
        ("columns", "the columns"),
        ("kept", "the kept columns"),
        ("rows_per_part", "--rows_per_part"),
    ):
        if key in now and before.get(key) != now[key]:
            return f"{what} {_said(before.get(key))}, not {_said(now[key])}"
    return ""


def _said(value: Any) -> str:
    if isinstance(value, dict) and "source" in value:
        return f"{value['source']} ({str(value.get('digest'))[:8]})"
    if isinstance(value, dict):
        return ", ".join(f"{name}={each}" for name, each in value.items()) or "none"
    if isinstance(value, list):
        listed = [f"{each['path']} ({each['sha256'][:8]})" for each in value[:3]]
        return ", ".join(listed) + (f" and {len(value) - 3} more" if len(value) > 3 else "")
    return str(value)
