"""A Docker daemon of the test's own, with images in which another server stands for TensorFlow's.

No image is pulled: root file systems of a few kilobytes are imported, and one of them gets the
name of the pinned image. What a real image holds, programs, libraries and packages, are mounts of
this machine's own folders that the daemon's runtime adds to each container before runc starts
it. So nothing is copied, and all that the project does with Docker is done for real.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from serving.engines import images
from tests.serving import fake_programs

ROOT = Path(__file__).resolve().parent.parent.parent
# What `tensorflow_model_server` needs: the system, Python, its environment and this project.
_MOUNTED = ("/usr", sys.base_prefix, str(Path(sys.prefix).resolve()), str(ROOT))
_LINKS = {name: f"usr/{name}" for name in ("bin", "lib", "lib64") if Path("/", name).is_symlink()}
DEFAULT = "unix:///var/run/docker.sock"
_FOLDER = "opt/server"
# By image, what `tensorflow_model_server` starts: this project's server, or one without TensorFlow,
# which is ready at once and answers no more than connections.
_SERVERS = {"own": "-m serving.server", "small": f"/{_FOLDER}/small.py"}
_CHANGES = (
    f"ENV PATH=/{_FOLDER}:/usr/bin PYTHONPATH={ROOT} TF_CPP_MIN_LOG_LEVEL=2",
    'ENTRYPOINT ["/a/script/that/is/not/there"]',  # It is not what the project starts.
)
_RUNTIME = """\
import json, os, sys
arguments = sys.argv[1:]
if "create" in arguments:
    bundle = arguments[arguments.index("--bundle") + 1] if "--bundle" in arguments else "."
    file = os.path.join(bundle, "config.json")
    with open(file) as opened:
        config = json.load(opened)
    config["mounts"] += [
        {{"destination": path, "source": path, "type": "bind", "options": ["rbind", "ro"]}}
        for path in {mounted!r}
    ]
    with open(file, "w") as opened:
        json.dump(config, opened)
os.execv({runc!r}, [{runc!r}, *arguments])
"""


def missing() -> str:
    """Returns why there can be no daemon here; empty if there can be one."""
    if os.getuid() != 0:
        return "a Docker daemon of the test's own needs root"
    lacking = [
        each for each in ("docker", "dockerd", "containerd", "runc") if not shutil.which(each)
    ]
    if lacking:
        return f"Docker's daemon is not installed: there is no {', '.join(lacking)} on the PATH"
    if _answers(DEFAULT):
        return "a Docker daemon runs here, whose network another one would disturb"
    return ""


@contextmanager
def daemon() -> Iterator[str]:
    """Runs a daemon and yields its address; skips where that cannot be."""
    if why := missing():
        pytest.skip(why)
    with ExitStack() as stack:
        # Two daemons would give out the same addresses.
        lock = stack.enter_context(open(Path(tempfile.gettempdir(), "docker-of-tests.lock"), "w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        # The path of a socket is short, and pytest's folders are not.
        scratch = tempfile.TemporaryDirectory(prefix="docker-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(scratch))
        runtime = folder / "runtime"
        code = _RUNTIME.format(mounted=[*dict.fromkeys(_MOUNTED)], runc=shutil.which("runc"))
        runtime.write_text(f"#!{sys.executable} -IS\n{code}")
        runtime.chmod(0o755)
        address = f"unix://{folder}/docker.sock"
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *("dockerd", "--host", address, "--storage-driver", "vfs"),
                    *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
                    *("--pidfile", str(folder / "pid")),
                    *("--add-runtime", f"here={runtime}", "--default-runtime", "here"),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_until_it_answers(address, process, folder / "log")
            for image, server in _SERVERS.items():
                _import(address, image, server)
            yield address
        finally:
            for container in docker(address, "ps", "--all", "--quiet", check=False).split():
                docker(address, "rm", "--force", container, check=False)
            process.terminate()
            process.wait(30)


def use(address: str, image: str) -> None:
    """Gives one of the images the pinned name."""
    docker(address, "tag", image, images.tensorflow_serving(gpu=False))


def docker(address: str, *arguments: str, check: bool = True) -> str:
    """Runs a command of Docker's own and returns what it printed."""
    done = subprocess.Popen(
        ["docker", "--host", address, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    printed, errors = done.communicate(timeout=60)
    assert not check or done.returncode == 0, errors
    return printed


def inspect(address: str, container: str) -> dict:
    """Returns what the daemon says about a container."""
    (found,) = json.loads(docker(address, "inspect", container))
    return found


def process_in(address: str, container: str) -> psutil.Process:
    """Returns the first process of a container, as this machine sees it."""
    return psutil.Process(inspect(address, container)["State"]["Pid"])


def _answers(address: str) -> bool:
    return bool(docker(address, "info", "--format", "{{.ServerVersion}}", check=False).strip())


def _wait_until_it_answers(address: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 60
    while not _answers(address):
        if process.poll() is not None:  # A machine may forbid what a daemon needs.
            pytest.skip(f"Docker's daemon does not start here: {log.read_text()[-500:]}")
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


def _import(address: str, image: str, server: str) -> None:
    """Makes an image whose `tensorflow_model_server` is Python with a server's arguments."""
    files = {
        "tensorflow_model_server": f'#!/bin/sh\nexec {sys.executable} {server} "$@"\n',
        "small.py": fake_programs.SMALL,
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, target in _LINKS.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
        # Every other user walks through these.
        for folder, mode in (("tmp", 0o1777), ("opt", 0o755), (_FOLDER, 0o755)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for name, text in files.items():
            entry = tarfile.TarInfo(f"{_FOLDER}/{name}")
            entry.size, entry.mode = len(text.encode()), 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
    changes = [argument for change in _CHANGES for argument in ("--change", change)]
    with subprocess.Popen(
        ["docker", "--host", address, "import", *changes, "-", image],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as process:
        process.communicate(archive.getvalue())
    assert process.returncode == 0
