"""Checkpoints of a run: where its training stood, in files that a crash cannot damage."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipelines.errors import TrainingError, UserError, disk_is_full

# Of the format; a reader refuses any other.
_VERSION = 1
# The newest, and the one before it in case that the newest is damaged.
_KEPT = 2
_SUFFIX, _PARTIAL = ".npz", ".partial"


@dataclass(frozen=True)
class State:
    """Where a training stands, without its arrays.

    Attributes:
        epoch: Number of epochs that have ended.
        step: Number of batches of the next epoch that were trained on. After all of them, only
            the validation of that epoch is left.
        trained: Whether training has ended.
        history: Values of each epoch by name, as Keras' own history has them.
        stopping: State of early stopping: wait, best, best_epoch.
        averaged: Whether the model holds the averages of its weights, as during validation.
        restores: How often training has gone back to a checkpoint with a lower learning rate.
        variables: What the model's variables are, by which another network is recognized.
        diagnosis: State of the look inside of the network, if there is one.
    """

    epoch: int = 0
    step: int = 0
    trained: bool = False
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)
    stopping: Mapping[str, Any] = field(default_factory=dict)
    averaged: bool = False
    restores: int = 0
    variables: Sequence[str] = ()
    diagnosis: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The position in words."""
        if self.trained:
            return "the end of training"
        return f"epoch {self.epoch + 1}, batch {self.step + 1}"


@dataclass(frozen=True)
class Checkpoint:
    """A state with its arrays: by group, as "model" or "optimizer", in the order of variables."""

    state: State
    arrays: Mapping[str, Sequence[np.ndarray]]

    def check(self, variables: Sequence[str]) -> None:
        """Raises `UserError` if it is of a network with other variables."""
        if list(self.state.variables) != list(variables):
            mine, other = set(variables), set(self.state.variables)
            differing = ", ".join(sorted(mine ^ other)[:3]) or "number and order of variables"
            raise UserError(
                "the run's checkpoint is of another network than its options build now; they "
                f"differ in {differing}"
            )


class Copies(Protocol):
    """Copies of checkpoints elsewhere."""

    def send(self, file: Path) -> None:
        """Begins to copy a checkpoint, if it is time to."""

    def finish(self, file: Path, seconds: float) -> bool:
        """Waits until a checkpoint is copied, at most this long; returns whether it is."""

    def fetch(self, folder: Path) -> None:
        """Fetches copies into a folder."""

    def remove(self) -> None:
        """Removes all copies."""


class Checkpoints:
    """A folder with the newest checkpoints of a run.

    Each is one file. It is written under another name, synchronized with the disk and renamed, and
    only then is an older one removed: whatever ends the process, a whole one stands.

    Attributes:
        folder: Where they are.
        warn: Takes a sentence about a checkpoint that cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        mirror: Copies | None = None,
        warn: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        """Takes a folder, and what keeps copies elsewhere for other machines, if they need them."""
        self.folder, self.warn, self._mirror = folder, warn, mirror

    def write(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint and removes all but the newest ones.

        Raises:
            TrainingError: It cannot be written, as the disk is full; the ones before it stand.
        """
        files = self._files()
        number = int(files[-1].name.partition("_")[0]) + 1 if files else 1
        state = checkpoint.state
        place = "trained" if state.trained else f"epoch_{state.epoch}_step_{state.step}"
        file = self.folder / f"{number:06d}_{place}{_SUFFIX}"
        partial = file.with_name(f".{file.name}{_PARTIAL}")
        text = json.dumps({"version": _VERSION, **asdict(state)})
        arrays = {"state": np.frombuffer(text.encode(), np.uint8)}
        for group, values in checkpoint.arrays.items():
            arrays |= {f"{group}/{index:05d}": value for index, value in enumerate(values)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in self.folder.glob(f".*{_PARTIAL}"):  # Of a process that was killed.
                left.unlink(missing_ok=True)
            with partial.open("wb") as opened:
                np.savez(opened, **arrays)  # type: ignore[arg-type]
                opened.flush()
                os.fsync(opened.fileno())
            os.replace(partial, file)
            _synchronize(self.folder)
        except (OSError, ValueError) as error:  # A zip file may end with either.
            partial.unlink(missing_ok=True)
            reason = "the disk is full" if disk_is_full(error) else str(error)
            kept = f"{files[-1].name} is intact" if files else "there is none yet"
            raise TrainingError(
                f"no checkpoint can be written to {self.folder}: {reason}; of earlier ones {kept}"
            ) from error
        for old in files[: 1 - _KEPT]:
            old.unlink(missing_ok=True)
        if self._mirror:
            self._mirror.send(file)

    def newest(self) -> Checkpoint | None:
        """Returns the newest whole checkpoint, or none.

        Raises:
            UserError: A checkpoint was written by another version, or all of them are damaged.
        """
        if self._mirror and not self._files():
            self._mirror.fetch(self.folder)
        files = self._files()
        for file in reversed(files):
            try:
                return _read(file)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                reason = str(error).partition("\n")[0]
                self.warn(f"the checkpoint {file} is damaged and left out: {reason}")
        if files:
            raise UserError(
                f"all checkpoints in {self.folder} are damaged; remove the folder to begin again"
            )
        return None

    def finish(self, seconds: float) -> None:
        """Waits, at most this long, until the newest checkpoint is copied elsewhere."""
        files = self._files()
        if self._mirror and files and not self._mirror.finish(files[-1], seconds):
            self.warn(f"the newest checkpoint is in {self.folder} alone")

    def remove(self) -> None:
        """Removes all checkpoints and their copies."""
        if self._mirror:
            self._mirror.remove()
        for file in [*self._files(), *self.folder.glob(f".*{_PARTIAL}")]:
            file.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _files(self) -> list[Path]:
        """Returns the files of whole checkpoints, the oldest first."""
        return sorted(self.folder.glob(f"[0-9]*_*{_SUFFIX}"))


def _read(file: Path) -> Checkpoint:
    """Reads a checkpoint; what the checksum of an array disagrees with is `BadZipFile`."""
    groups: dict[str, list[np.ndarray]] = {}
    with np.load(file, allow_pickle=False) as stored:
        values = json.loads(stored["state"].tobytes())
        version = values.pop("version")
        if version != _VERSION:
            raise UserError(
                f"the checkpoint {file} has the format {version}, but this version reads {_VERSION}"
            )
        for name in sorted(stored.files):
            group, slash, _ = name.partition("/")
            if slash:
                groups.setdefault(group, []).append(stored[name])
    return Checkpoint(State(**values), groups)


def _synchronize(folder: Path) -> None:
    """Makes a rename in a folder durable."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
