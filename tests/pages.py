"""Code blocks of documentation pages; those that are a package, written out and installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write_package(page: Path, folder: Path) -> list[str]:
    """Writes each code block of a page whose title is a file, and returns these names."""
    pattern = r'^```\w+ title="(\S+)"\n(.*?)^```$'
    blocks = re.findall(pattern, page.read_text(), re.MULTILINE | re.DOTALL)
    for name, content in blocks:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return [name for name, _ in blocks]


def python_blocks(page: Path) -> list[str]:
    """Returns the blocks of Python on a page that are no files."""
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def install(package: Path, target: Path) -> dict[str, str]:
    """Installs a package into a folder of its own, and returns the environment that finds it."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)),
            str(package),
        ],
        check=True,
    )
    path = os.pathsep.join([str(target), str(ROOT)])
    return {
        **os.environ,
        "MLFLOW_TRACKING_URI": "",  # Another test's is not this package's.
        "PYTHONPATH": path,
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
