"""TensorFlow Serving in a container, by the command line of Docker."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from serving.errors import UserError

LABEL = "keras-foundry.repository"
_REMOVAL_SECONDS = 10.0


def missing() -> str:
    """Returns why containers cannot be run; empty if they can."""
    if shutil.which("docker") is None:
        return "there is no docker on the PATH"
    done = _docker("info", "--format", "{{.ServerVersion}}")
    if done.returncode == 0 and done.stdout.strip():
        return ""
    return f"docker has no daemon: {_last_line(done.stderr)}"


def without_gpu() -> str:
    """Returns why a container cannot use the machine's GPU; empty if it can."""
    if shutil.which("nvidia-container-runtime-hook") or shutil.which("nvidia-ctk"):
        return ""
    if "nvidia" in _docker("info", "--format", "{{json .Runtimes}}").stdout:
        return ""
    return "docker has no NVIDIA Container Toolkit"


def name_of(repository: Path, port: int) -> str:
    """Returns a container's name: that of the folder, a hash of its path, and the port."""
    path = hashlib.sha256(str(repository.absolute()).encode()).hexdigest()[:8]
    return f"keras-foundry-{re.sub('[^a-zA-Z0-9_.-]+', '-', repository.name)}-{path}-{port}"


def command(
    image: str,
    flags: Sequence[str],
    repository: Path,
    *,
    host: str,
    ports: Sequence[int],
    gpu: bool,
) -> list[str]:
    """Returns the command that runs TensorFlow Serving until it is stopped.

    Args:
        image: `repository:tag`.
        flags: TensorFlow Serving's flags.
        repository: The model repository.
        host: IP address of this machine on which ports are published.
        ports: TCP ports to publish; the first one names the container.
        gpu: Whether the container gets the GPUs.
    """
    # The base paths in models.config are absolute, and the same file is used by every engine. So
    # each folder is mounted under the same path that it has outside.
    at = f"[{host}]" if ":" in host else host
    mounts = [argument for path in _mounted(repository, flags) for argument in _mount(path)]
    return [
        *("docker", "run", "--rm", "--name", name_of(repository, ports[0])),
        *("--label", f"{LABEL}={repository}"),
        # Process 1 ignores SIGTERM unless it has a handler, and TensorFlow Serving has none.
        "--init",
        *("--user", f"{os.getuid()}:{os.getgid()}"),
        *(("--gpus", "all") if gpu else ()),
        *(argument for port in ports for argument in ("--publish", f"{at}:{port}:{port}")),
        *mounts,
        # The image's entry point is a shell script that configures a model by itself.
        *("--entrypoint", "tensorflow_model_server", image, *flags),
    ]


def pull(image: str) -> None:
    """Pulls an image that is missing; Docker shows the progress.

    Raises:
        UserError: It cannot be pulled.
    """
    if _docker("image", "inspect", image).returncode == 0:
        return
    if subprocess.run(["docker", "pull", image], check=False).returncode != 0:
        raise UserError(f"the image {image} is not here and cannot be pulled")


def is_running(name: str) -> bool:
    """Returns whether there is such a container and it is running."""
    if not name or shutil.which("docker") is None:
        return False
    return _docker("inspect", "--format", "{{.State.Running}}", name).stdout.strip() == "true"


def stop(name: str, timeout: float) -> None:
    """Stops a container, and kills it after `timeout` seconds; it may have ended already.

    Without its client, the daemon removes it a moment later, and until then its name is taken.
    """
    _docker("stop", "-t", str(max(1, round(timeout))), name)
    deadline = time.monotonic() + _REMOVAL_SECONDS
    while _docker("inspect", name).returncode == 0 and time.monotonic() < deadline:
        time.sleep(0.1)


def _mounted(repository: Path, flags: Sequence[str]) -> list[Path]:
    """Returns the paths to mount: the repository and the files that flags name."""
    paths = [repository]
    if repository.resolve() != repository:
        paths.append(repository.resolve())
    for flag in flags:
        name, _, value = flag.partition("=")
        if not value.startswith("/") or Path(value).is_relative_to(repository):
            continue
        path = Path(value)
        if path.is_file():
            # A file that is replaced is another inode: only its folder shows the new one.
            paths.append(path.parent if name == "--model_config_file" else path)
    return list(dict.fromkeys(paths))


def _mount(path: Path) -> tuple[str, str]:
    # The fields of one line of CSV, as a path may have commas and quotes.
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(
        ["type=bind", f"source={path}", f"target={path}", "readonly"]
    )
    return "--mount", line.getvalue()


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, check=False, timeout=120
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(arguments, 1, "", "it does not answer")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it does not say why"])[-1]
