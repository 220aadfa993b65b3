"""Checkpoints: whole files, whatever ends the writing process or damages them later."""

from __future__ import annotations

import errno
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import TrainingError, UserError
from pipelines.training import checkpoints
from pipelines.training.checkpoints import Checkpoint, Checkpoints, State

STATE = State(
    epoch=3,
    step=7,
    history={"loss": [1.0, 0.1 + 0.2]},
    stopping={"wait": 1, "best": 0.25, "best_epoch": 2},
    averaged=True,
    restores=1,
    variables=["dense/kernel", "dense/bias"],
)
ARRAYS = {
    "model": [np.arange(6, dtype=np.float32).reshape(2, 3), np.array([True, False])],
    "optimizer": [np.array(7, np.int64), *(np.full((2,), value) for value in range(12))],
    "metrics": [np.array([1, 2**31], np.uint32)],
}


def checkpoint(epoch: int = 3) -> Checkpoint:
    return Checkpoint(replace(STATE, epoch=epoch), ARRAYS)


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_a_checkpoint_is_read_as_it_was_written(tmp_path):
    Checkpoints(tmp_path / "new").write(checkpoint())
    read = Checkpoints(tmp_path / "new").newest()
    assert read is not None
    assert read.state == STATE
    assert read.arrays.keys() == ARRAYS.keys()
    for group, values in ARRAYS.items():
        for one, other in zip(values, read.arrays[group], strict=True):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            np.testing.assert_array_equal(one, other)


def test_the_newest_is_returned_and_only_two_are_kept(tmp_path):
    kept = Checkpoints(tmp_path)
    assert kept.newest() is None
    for epoch in (3, 1, 2, 5, 4):
        kept.write(checkpoint(epoch))
        newest = kept.newest()
        assert newest is not None
        assert newest.state.epoch == epoch
    assert [file.name for file in files(tmp_path)] == [
        "000004_epoch_5_step_7.npz",
        "000005_epoch_4_step_7.npz",
    ]
    kept.remove()
    assert not tmp_path.exists()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-30])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip(file: Path) -> None:
    """Changes one bit of an array, which only a checksum shows."""
    whole = bytearray(file.read_bytes())
    whole[whole.index(ARRAYS["model"][0].tobytes()) + 5] ^= 1
    file.write_bytes(whole)


@pytest.mark.parametrize("damage", [cut, empty, flip], ids=lambda part: part.__name__)
def test_a_damaged_checkpoint_is_left_out_with_a_sentence(damage, tmp_path):
    sentences: list[str] = []
    kept = Checkpoints(tmp_path, warn=sentences.append)
    for epoch in (1, 2):
        kept.write(checkpoint(epoch))
    before, newest = files(tmp_path)
    damage(newest)
    found = kept.newest()
    assert found is not None
    assert found.state.epoch == 1
    (sentence,) = sentences
    assert sentence.startswith(f"the checkpoint {newest} is damaged and left out: ")
    damage(before)
    with pytest.raises(UserError, match="are damaged; remove the folder to begin again"):
        kept.newest()


def test_a_checkpoint_of_another_version_is_refused(tmp_path, monkeypatch):
    kept = Checkpoints(tmp_path)
    monkeypatch.setattr(checkpoints, "_VERSION", 2)
    kept.write(checkpoint())
    monkeypatch.undo()
    with pytest.raises(UserError, match="has the format 2, but this version reads 1"):
        kept.newest()


def test_a_checkpoint_of_another_network_is_refused():
    checkpoint().check(["dense/kernel", "dense/bias"])
    with pytest.raises(UserError, match="differ in dense/bias, dense/scale"):
        checkpoint().check(["dense/kernel", "dense/scale"])
    with pytest.raises(UserError, match="differ in number and order of variables"):
        checkpoint().check(["dense/bias", "dense/kernel"])


def test_a_full_disk_is_one_sentence_and_the_checkpoint_before_is_intact(tmp_path):
    """The file may grow to a limit, as on a disk with so much space left."""
    kept = Checkpoints(tmp_path)
    kept.write(checkpoint(1))
    size = files(tmp_path)[0].stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (10, size // 2, size - 10):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(TrainingError) as raised:
                kept.write(checkpoint(2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert str(raised.value) == (
            f"no checkpoint can be written to {tmp_path}: the disk is full; of earlier ones "
            "000001_epoch_1_step_7.npz is intact"
        )
        assert len(files(tmp_path)) == 1
        found = kept.newest()
        assert found is not None
        assert found.state.epoch == 1


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(np, "savez", refuse)
    with pytest.raises(TrainingError, match="Permission denied; of earlier ones there is none"):
        Checkpoints(tmp_path).write(checkpoint())


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    (tmp_path / ".000001_epoch_1_step_1.npz.partial").write_bytes(b"half")
    kept = Checkpoints(tmp_path)
    assert kept.newest() is None
    kept.write(checkpoint())
    assert [file.name for file in files(tmp_path)] == ["000001_epoch_3_step_7.npz"]


class Elsewhere:
    """Copies in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.sent = folder, list[str]()

    def send(self, file: Path) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / file.name).write_bytes(file.read_bytes())

    def finish(self, file: Path, seconds: float) -> bool:
        return (self.folder / file.name).exists()

    def fetch(self, folder: Path) -> None:
        folder.mkdir()
        for file in self.folder.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())

    def remove(self) -> None:
        for file in self.folder.iterdir():
            file.unlink()


def test_another_machine_goes_on_from_copies(tmp_path):
    mirror = Elsewhere(tmp_path / "copies")
    Checkpoints(tmp_path / "here", mirror=mirror).write(checkpoint(4))
    there = Checkpoints(tmp_path / "there", mirror=mirror)
    found = there.newest()
    assert found is not None
    assert found.state.epoch == 4
    there.remove()
    assert files(mirror.folder) == []
