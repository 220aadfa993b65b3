"""`REPOSITORY/.server.json`: the running server of a model repository, for later commands.

The name begins with a dot, so that servers do not take it for a model.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from serving.engines.engine import Engine
from serving.engines.process import LOOPBACK, ServerProcess
from serving.errors import UserError

NAME = ".server.json"
LOG = "server.log"

# Tolerance for creation times, which are relative to the machine's start, which may be adjusted.
_SAME_SECONDS = 2.0


def start(
    engine: Engine,
    repository: Path,
    *,
    host: str,
    port: int,
    rest_port: int,
    options: list[str],
) -> ServerProcess:
    """Starts an engine, as `Engine.start` does, and records it.

    Raises:
        UserError: A server of this repository is running or being started, or as `Engine.start`.
    """
    if not repository.is_dir():
        raise UserError(
            f"there is no folder {repository}; deploy a model first: "
            f"python -m serving deploy MODEL --repository {repository}"
        )
    with _locked(repository):
        if (running := read(repository)) is not None:
            raise UserError(
                f"a server of {repository} is running already: {running.engine} at "
                f"{running.address}; stop it with: python -m serving down --repository {repository}"
            )
        running = engine.start(
            repository,
            host=host,
            port=port,
            rest_port=rest_port,
            log=repository / LOG,
            options=options,
        )
        try:
            _write(repository, running)
        except BaseException:
            running.stop()
            raise
        return running


def address(repository: Path) -> str | None:
    """Returns the address of the repository's server, if one was started and is still running."""
    running = read(repository)
    return running.address if running else None


def read(repository: Path) -> ServerProcess | None:
    """Returns the recorded server if it is still running.

    A record of a process that has ended, or whose id now belongs to another process, is ignored;
    the next start overwrites it.

    Raises:
        UserError: The record cannot be read.
    """
    file = repository / NAME
    try:
        record = json.loads(file.read_text())
        process = _process(record["process"], record["created"])
        container = record["container"]
        if not isinstance(container, str):
            raise TypeError(f"the name of a container is {container}")
        running = ServerProcess(
            *(record["engine"], process, record["port"], record["rest_port"]),
            *(Path(record["log"]), container),
            host=record.get("host", LOOPBACK),
            rest_encrypted=record.get("rest_encrypted", False),
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is no record of a server; remove it: {error!r}") from error
    return running if running.alive else None


def forget(repository: Path, running: ServerProcess) -> None:
    """Removes the record of a server; another server's record stays."""
    if knows(repository, running):
        with contextlib.suppress(OSError):
            (repository / NAME).unlink()


def knows(repository: Path, running: ServerProcess) -> bool:
    """Returns whether the record is that of a server, running or not."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record = json.loads((repository / NAME).read_text())
        same = running.process is not None and record["process"] == running.process.pid
        return same or bool(running.container and record["container"] == running.container)
    return False


def _write(repository: Path, running: ServerProcess) -> None:
    assert running.process is not None  # It has just been started.
    record = {
        "engine": running.engine,
        "process": running.process.pid,
        "created": running.process.create_time(),
        "container": running.container,
        "host": running.host,
        "port": running.port,
        "rest_port": running.rest_port,
        "rest_encrypted": running.rest_encrypted,
        "log": str(running.log),
    }
    with tempfile.TemporaryDirectory(dir=repository, prefix=".server.") as folder:
        partial = Path(folder) / NAME
        partial.write_text(json.dumps(record, indent=2) + "\n")
        os.replace(partial, repository / NAME)


def _process(pid: int, created: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < _SAME_SECONDS
    except psutil.NoSuchProcess:
        return None
    return process if same else None


@contextlib.contextmanager
def _locked(repository: Path) -> Iterator[None]:
    """Locks the start of a server; the lock ends with the process."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open(repository / ".server.lock", "w"))
        except OSError as error:
            raise UserError(f"{repository} cannot be written: {error}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another command is starting a server of {repository}; wait for it"
            ) from error
        for left in repository.glob(".server.*/"):  # Of a command that was killed.
            shutil.rmtree(left, ignore_errors=True)
        yield
