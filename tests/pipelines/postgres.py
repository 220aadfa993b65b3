"""A PostgreSQL server of the test's own, on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from serving.engines.ports import free_port

USER = "mlflow"
# Debian keeps the server's programs off the PATH.
_PATH = os.pathsep.join(
    [os.environ.get("PATH", ""), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))]
)
# PostgreSQL refuses to run as root.
_OWNER: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if os.getuid() == 0 else {}
# Nothing here is to outlive the machine.
_QUICK = "-c fsync=off -c full_page_writes=off -c synchronous_commit=off"


class Postgres:
    """A running server, of which `USER` is the superuser.

    Attributes:
        port: Its TCP port, on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self.port = port

    def database(self, name: str) -> str:
        """Creates an empty database and returns its URI."""
        self._ask("psql", "--command", f"CREATE DATABASE {name}", "postgres")
        return f"postgresql+psycopg2://{USER}@127.0.0.1:{self.port}/{name}"

    def dump(self, name: str) -> str:
        """Returns the whole content of a database as SQL."""
        return self._ask("pg_dump", "--inserts", name)

    def _ask(self, program: str, *arguments: str) -> str:
        where = ("--host=127.0.0.1", f"--port={self.port}", f"--username={USER}")
        return _run(program, *where, *arguments)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Runs a server with data of its own; skips the test where PostgreSQL is not installed."""
    missing = [each for each in ("initdb", "pg_ctl", "psql", "pg_dump") if not _found(each)]
    if missing:
        pytest.skip(f"PostgreSQL is not installed: there is no {', '.join(missing)}")
    # Another user cannot enter the folders of pytest.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        if _OWNER:
            shutil.chown(folder, **_OWNER)
        port, data = free_port(), f"--pgdata={folder}/data"
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} {_QUICK}"
        _run("initdb", "--auth=trust", f"--username={USER}", "--no-sync", data, **_OWNER)
        _run("pg_ctl", "start", f"--log={folder}/log", f"--options={options}", data, **_OWNER)
        try:
            yield Postgres(port)
        finally:
            _run("pg_ctl", "stop", "--mode=immediate", data, **_OWNER)


def _found(program: str) -> str | None:
    return shutil.which(program, path=_PATH)


def _run(program: str, *arguments: str, **owner: Any) -> str:
    # The server inherits the output, which would never end in a pipe.
    with tempfile.TemporaryFile("w+") as output:
        command = [_found(program) or program, *arguments]
        with subprocess.Popen(
            command, cwd="/", stdout=output, stderr=subprocess.STDOUT, **owner
        ) as process:
            code = process.wait()
        output.seek(0)
        printed = output.read()
    assert code == 0, f"{program}: {printed}"
    return printed
