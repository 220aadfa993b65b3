"""Deploys in processes of their own that are killed before each of their file operations."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from serving.rollout import model_repository, models_config
from serving.rollout.model_repository import Repository
from serving.rollout.models_config import Entry
from tests.serving.rollout.test_killed_rollouts import PROGRAM, ROOT

# The registry is a folder, and the trial always passes: neither is under test here.
PREPARATION = """
import shutil
from types import SimpleNamespace
from serving.rollout import trial
from serving.rollout.deploy import deploy
from serving.rollout.golden import Validation
from serving.rollout.model_registry import Registered

trial.validate = lambda *_, **__: Validation(0, {}, {})
engine = SimpleNamespace(name="none")

class Registry:
    def find(self, name, *, alias, version):
        return Registered(name, 2, "run", "source", "commit", (), {})

    def download(self, found, folder):
        return Path(shutil.copytree(sys.argv[2], folder / "saved_model"))

    def bless(self, found, tags):
        pass
"""
COMMAND = "deploy(target, Registry(), 'digits', lambda: engine, label='stable', unverified=True)"


def test_killed_before_any_file_operation_the_repository_can_be_served(tmp_path):
    source = tmp_path / "source"
    (source / "variables").mkdir(parents=True)
    for name in ("variables/variables.index", "fingerprint.pb"):
        (source / name).write_bytes(name.encode())
    (source / "saved_model.pb").write_bytes(b"\x08\x01")  # An empty one, of the first schema.
    files = Repository(tmp_path / "models")
    program = PROGRAM.format(preparation=PREPARATION, command=COMMAND)
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(files.path), str(source)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def deploy(operations: int) -> int:
        assert process.stdin
        assert process.stdout
        print(operations, file=process.stdin, flush=True)
        return int(process.stdout.readline())

    seen = set()
    with process:
        assert process.stdin
        for moment in range(1, 300):
            prepare(files, source)
            code = deploy(moment)
            seen.add(served(files))
            if code == 0:
                break
            assert code == -signal.SIGKILL
            if moment % 5 == 0:  # The next one completes it, and leaves nothing of this one.
                assert deploy(10**6) == 0
                assert served(files) == (frozenset({2}), (("stable", 2),))
                left = {path.name for path in files.path.iterdir()}
                assert left <= {"digits", "models.config", ".lock"}
        process.stdin.close()
    assert moment > 20
    assert len(seen) == 2, "before and after"


def served(files: Repository) -> tuple[frozenset[int], tuple[tuple[str, int], ...]]:
    """Returns versions and labels of the configuration, of which all must be whole."""
    entry = models_config.entry(files.config(), "digits")
    for number in files.versions("digits"):
        assert files.fault("digits", number) == "", "no server may meet a version in part"
    assert entry.versions <= set(files.versions("digits"))
    assert entry.labels["stable"] in entry.versions
    return entry.versions, tuple(sorted(entry.labels.items()))


def prepare(files: Repository, source: Path) -> None:
    """Makes a repository whose version 1 is stable."""
    shutil.rmtree(files.path, ignore_errors=True)
    folder = files.version("digits", 1)
    shutil.copytree(source, folder)
    model_repository.write_record(
        folder, {"digest": model_repository.digest(folder), "verified": False}
    )
    files.write_history("digits", [1])
    entry = Entry.of({"stable": 1})
    base_path = str(files.path / "digits")
    files.write_config(models_config.changed(files.config(), "digits", base_path, entry))
