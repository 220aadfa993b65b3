"""The repository on disk: digests, locks, history, writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.export import saved_model
from serving.errors import UserError
from serving.rollout import model_repository
from serving.rollout.model_repository import Repository, since, upto
from tests.serving import saved_models

ROOT = Path(__file__).resolve().parent.parent.parent.parent
numbers = st.lists(st.integers(1, 4), max_size=6)


@pytest.fixture
def files(tmp_path) -> Repository:
    return Repository(tmp_path / "models")


def version(files: Repository, number: int = 1) -> Path:
    folder = files.version("digits", number)
    (folder / "assets.extra").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    model_repository.write_record(folder, {"digest": model_repository.digest(folder)})
    return folder


def test_the_digest_follows_paths_and_contents_and_nothing_else(files):
    folder = version(files)
    first = model_repository.digest(folder)
    assert first == model_repository.digest(version(files, 2))
    os.utime(folder / "saved_model.pb", (0, 0))
    model_repository.write_record(folder, {"digest": "another"})
    assert model_repository.digest(folder) == first
    (folder / "saved_model.pb").rename(folder / "graph.pb")
    assert model_repository.digest(folder) != first


def test_what_is_wrong_with_a_version_is_said(files):
    assert files.fault("digits", 1) == "its folder is missing"
    folder = version(files)
    assert files.fault("digits", 1) == ""
    (folder / "variables").write_bytes(b"")
    assert files.fault("digits", 1) == "its files are not the ones that were deployed"
    (folder / model_repository.RECORD).write_text("[]")
    assert files.fault("digits", 1) == "it has no readable deployment.json"


def test_a_second_rollout_is_refused_and_a_later_one_is_not(files):
    with files.locked():
        sentence = f"another rollout is running in {files.path} (process {os.getpid()})"
        with pytest.raises(UserError) as raised, files.locked():
            pass
        assert str(raised.value) == sentence
    with files.locked():
        pass


def test_a_lock_ends_with_its_process(files):
    program = (
        "import os, pathlib\nfrom serving.rollout.model_repository import Repository\n"
        f"with Repository(pathlib.Path({str(files.path)!r})).locked(): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 9
    with files.locked():
        pass


def test_what_a_killed_rollout_left_is_removed_by_the_next(files):
    left = files.path / ".candidate.old" / "download"
    left.mkdir(parents=True)
    with files.locked():
        assert not left.parent.exists()
    with files.candidate() as hidden:
        (hidden / "file").write_bytes(b"")
        assert hidden.stat().st_mode & 0o055 == 0o055
    assert [path.name for path in files.path.iterdir()] == [".lock"]


def test_a_write_that_fails_leaves_the_old_file(files, monkeypatch):
    files.path.mkdir()
    files.config_file.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_repository.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        model_repository.write(files.config_file, "new")
    assert [path.read_text() for path in files.path.iterdir()] == ["old"]


def test_only_folders_of_versions_are_models(files):
    version(files, 12)
    version(files, 2)
    (files.path / "notes").mkdir()
    (files.path / ".candidate.1" / "1").mkdir(parents=True)
    assert files.models() == ["digits"]
    assert files.versions("digits") == [2, 12]


@given(numbers, st.integers(1, 4), st.integers(1, 4))
def test_a_history_goes_on_from_what_is_stable(history, current, new):
    went_on = since(history, current, new)
    assert went_on[-1] == new
    assert went_on[: len(upto(history, current))] == upto(history, current)
    assert upto(went_on, new) == went_on
    # A rollout that never came to move the label changes nothing of what was before.
    if current not in (new, *history[history.index(current) + 1 if current in history else 0 :]):
        assert upto(went_on, current) == upto(history, current)


def test_a_history_survives_and_goes_with_the_model(files):
    assert files.history("digits") == []
    files.write_history("digits", [1, 2])
    assert files.history("digits") == [1, 2]
    (files.path / "digits" / ".history.json").write_text("damaged")
    assert files.history("digits") == []
    files.write_history("digits", [])
    assert list(files.path.iterdir()) == []


def test_a_configuration_that_cannot_be_read_is_named(files):
    files.path.mkdir()
    files.config_file.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"models\.config cannot be read: .*utf-8"):
        files.config()
    nowhere = Repository(files.config_file)
    with pytest.raises(
        UserError, match=r"models\.config/models\.config cannot be read: .*Not a dir"
    ):
        nowhere.config()
    with pytest.raises(UserError, match=r"models\.config cannot be written: "), nowhere.locked():
        pass


def test_folders_that_cannot_be_listed_are_named(files, monkeypatch):
    version(files)

    def denied(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(UserError, match=r"models cannot be read: .*Permission denied"):
        files.models()


def test_files_that_a_killed_rollout_had_not_renamed_go(files):
    files.write_history("digits", [1])
    left = [files.path / ".models.config.123", files.path / "digits" / "..history.json.123"]
    for path in left:
        path.touch()
    with files.locked():
        assert not any(path.exists() for path in left)
    assert files.history("digits") == [1]


def test_the_digest_is_that_which_a_registered_version_has(tmp_path):
    model = saved_models.half_plus_two(tmp_path / "model")
    assert model_repository.digest(model) == saved_model.digest(model)
