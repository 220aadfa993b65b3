"""The code version and the environment that a run records."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil


def code_version() -> tuple[str, str]:
    """Returns the commit, "unknown" outside a clone, and the uncommitted changes."""
    try:
        import git
    except ImportError:  # What GitPython raises where no git program is installed.
        return "unknown", ""
    try:
        repository = git.Repo(Path(__file__).parent, search_parent_directories=True)
        return repository.head.commit.hexsha, repository.git.diff("HEAD")
    except (git.exc.GitError, ValueError):  # Not a clone, or a clone without a commit.
        return "unknown", ""


def environment() -> dict[str, Any]:
    """Returns versions of Python and of all packages, and what the machine has."""
    # Each access to a distribution's metadata parses its file again.
    installed = [distribution.metadata for distribution in metadata.distributions()]
    packages = {package["Name"]: package["Version"] for package in installed}
    return {
        "python": sys.version,
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "packages": {name: packages[name] for name in sorted(packages, key=str.lower)},
    }
