"""Rollouts in processes of their own that are killed before each of their file operations."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from serving.rollout import model_repository, models_config
from serving.rollout.model_repository import Repository
from serving.rollout.models_config import Entry

ROOT = Path(__file__).resolve().parent.parent.parent.parent

# Imports once and works in children; each is killed before a later file operation. Each line of the
# standard input is the number of that operation, each line of the output the child's exit code.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from serving.rollout import servers
from serving.rollout.model_repository import Repository
from serving.rollout.target import RolloutTarget

servers.DEFAULT_ADDRESS = "127.0.0.1:1"
target = RolloutTarget(Repository(Path(sys.argv[1])))

def count(event, arguments):
    global left
    if event.startswith(("open", "os.", "shutil.")) and sys.argv[1] in str(arguments):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

{preparation}
for line in sys.stdin:
    left = int(line)
    if os.fork() == 0:
        sys.addaudithook(count)
        {command}
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""
PREPARATION = "from serving.rollout.promote import promote, rollback"


@pytest.mark.parametrize(
    ("command", "before", "history", "after"),
    [
        ("promote", Entry.of({"stable": 1, "canary": 2}), [1], Entry.of({"stable": 2})),
        ("rollback", Entry.of({"stable": 2}), [1, 2], Entry.of({"stable": 1})),
    ],
)
def test_killed_before_any_file_operation_stable_has_its_version(
    tmp_path, command, before, history, after
):
    files = Repository(tmp_path / "models")
    program = PROGRAM.format(preparation=PREPARATION, command=f"{command}(target, 'digits')")
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(files.path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    killed_after_it_moved = 0
    with process:
        assert process.stdin
        assert process.stdout
        for moment in range(1, 200):
            prepare(files, before, history)
            print(moment, file=process.stdin, flush=True)
            code = int(process.stdout.readline())
            found = models_config.entry(files.config(), "digits")
            if code == 0:
                break
            assert code == -signal.SIGKILL
            assert found in (before, after)
            if found == after:
                killed_after_it_moved += 1
                continue
            # Going back must still be possible, and mean the version that was stable before.
            stable = before.labels["stable"]
            assert model_repository.upto(files.history("digits"), stable) == history
        process.stdin.close()
    assert moment > 10
    assert killed_after_it_moved
    assert found == after
    assert files.history("digits")[-1] == after.labels["stable"]


def prepare(files: Repository, entry: Entry, history: list[int]) -> None:
    """Makes a repository with the versions 1 and 2."""
    shutil.rmtree(files.path, ignore_errors=True)
    for number in (1, 2):
        folder = files.version("digits", number)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"graph")
        model_repository.write_record(folder, {"digest": model_repository.digest(folder)})
    files.write_history("digits", history)
    base_path = str(files.path / "digits")
    files.write_config(models_config.changed(files.config(), "digits", base_path, entry))
