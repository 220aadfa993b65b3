"""The model repository on disk: versions, their records, `models.config`, and its lock."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from serving.errors import UserError
from serving.rollout import models_config

RECORD = "assets.extra/deployment.json"
_CANDIDATE = ".candidate."


@dataclass(frozen=True)
class Repository:
    """A folder NAME/VERSION of SavedModels with the `models.config` that serves them.

    Servers ignore names that begin with a dot.
    """

    path: Path

    @property
    def config_file(self) -> Path:
        return self.path / "models.config"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the repository against other rollouts.

        The lock ends with the process, even if that is killed.

        Raises:
            UserError: Another rollout is running, or this user may not write here.
        """
        with contextlib.ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(open(self.path / ".lock", "a+"))
            except OSError as error:
                raise UserError(f"{self.path} cannot be written: {error}") from error
            lock(file, f"another rollout is running in {self.path}")
            self._sweep()
            yield

    def _sweep(self) -> None:
        """Removes the candidate and the temporary files of a rollout that was killed."""
        for left in self.path.glob(f"{_CANDIDATE}*"):
            shutil.rmtree(left, ignore_errors=True)
        for pattern in (".models.config.*", "*/..history.json.*"):
            for left in self.path.glob(pattern):
                left.unlink(missing_ok=True)

    def config(self) -> Any:
        """Returns the ModelServerConfig; an empty one if there is none yet.

        Raises:
            UserError: The file cannot be read.
        """
        try:
            text = self.config_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            text = ""
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{self.config_file} cannot be read: {error}") from error
        return models_config.parse(text, str(self.config_file))

    def write_config(self, config: Any) -> None:
        """Replaces `models.config` atomically."""
        write(self.config_file, models_config.text(config))

    def models(self) -> list[str]:
        """Returns the names of all folders that hold versions.

        Raises:
            UserError: The folder cannot be read.
        """
        try:
            folders = [p for p in self.path.iterdir() if p.is_dir()] if self.path.is_dir() else []
            return sorted(p.name for p in folders if p.name[0] != "." and self.versions(p.name))
        except OSError as error:
            raise UserError(f"{self.path} cannot be read: {error}") from error

    def versions(self, name: str) -> list[int]:
        """Returns the versions of a model in the repository, in ascending order."""
        folder = self.path / name
        children = folder.iterdir() if folder.is_dir() else []
        return sorted(int(child.name) for child in children if child.name.isdecimal())

    def version(self, name: str, number: int) -> Path:
        return self.path / name / str(number)

    def record(self, name: str, number: int) -> dict[str, Any] | None:
        """Returns a version's `deployment.json`; None where it is missing or damaged."""
        try:
            found = json.loads((self.version(name, number) / RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def fault(self, name: str, number: int) -> str:
        """Returns what is wrong with a version's files; empty if nothing is."""
        if not self.version(name, number).is_dir():
            return "its folder is missing"
        record = self.record(name, number)
        if record is None:
            return "it has no readable deployment.json"
        if digest(self.version(name, number)) != record.get("digest"):
            return "its files are not the ones that were deployed"
        return ""

    @contextmanager
    def candidate(self) -> Iterator[Path]:
        """Yields a hidden folder of this file system, and removes it afterwards.

        The caller holds the lock.
        """
        with tempfile.TemporaryDirectory(
            dir=self.path, prefix=_CANDIDATE, ignore_cleanup_errors=True
        ) as folder:
            os.chmod(folder, 0o755)  # An engine may run as another user.
            yield Path(folder)

    def publish(self, candidate: Path, name: str, number: int) -> Path:
        """Moves a version atomically to where servers find it."""
        target = self.version(name, number)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(candidate, target)
        return target

    def remove(self, name: str, number: int) -> None:
        """Deletes a version; its folder is hidden from servers before its files are deleted."""
        hidden = self.path / f"{_CANDIDATE}gone.{name}.{number}"
        shutil.rmtree(hidden, ignore_errors=True)
        os.replace(self.version(name, number), hidden)
        shutil.rmtree(hidden, ignore_errors=True)

    def history(self, name: str) -> list[int]:
        """Returns the versions that were stable, oldest first."""
        try:
            text = (self.path / name / ".history.json").read_text(encoding="utf-8")
            return [int(number) for number in json.loads(text)["stable"]]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def write_history(self, name: str, stable: Sequence[int]) -> None:
        """Replaces the history; an empty one is deleted, and the model's folder if it is empty."""
        path = self.path / name / ".history.json"
        if stable:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, json.dumps({"stable": list(stable)}) + "\n")
            return
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()


def since(history: Sequence[int], current: int | None, new: int) -> list[int]:
    """Returns the history up to the version that is stable now, extended by the next one.

    Versions after the stable one are dropped: their rollout was interrupted or rolled back.

    Args:
        history: Versions that were stable, oldest first.
        current: The version that is stable now.
        new: The version that becomes stable.
    """
    kept = list(upto(history, current)) if current is not None else []
    return kept if kept and kept[-1] == new else [*kept, new]


def upto(history: Sequence[int], current: int) -> list[int]:
    """Returns the history up to the last time that a version was stable."""
    places = [place for place, number in enumerate(history) if number == current]
    return [*history[: places[-1]], current] if places else [current]


def digest(folder: Path) -> str:
    """Returns the SHA-256 of the paths and contents of all files except `deployment.json`."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if name == RECORD:
            continue
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{content}  {name}\n".encode())
    return total.hexdigest()


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Writes `deployment.json` into a version."""
    path = folder / RECORD
    path.parent.mkdir(exist_ok=True)
    write(path, json.dumps(record, indent=2) + "\n")


def lock(file: TextIO, taken: str) -> None:
    """Locks an open file for this process, whose number is written to it, until it is closed.

    Raises:
        UserError: Another process has it; the sentence is `taken` and the other's number.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        raise UserError(f"{taken} (process {file.read()})") from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()


def write(path: Path, text: str) -> None:
    """Replaces a file atomically; its content is on disk before it is renamed."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
