"""The code version and the environment that a run records."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

# Files that are made to hold passwords and tokens.
_SECRET = ":(top,exclude,glob)**/.env*"


def code_version() -> tuple[str, str]:
    """Returns the commit, "unknown" outside a clone, and the uncommitted changes.

    Changes of `.env` files are left out. An environment within a clone of something else, as of the
    project that uses this one, is outside: that project's code is not what runs.
    """
    try:
        import git
    except ImportError:  # What GitPython raises where no git program is installed.
        return "unknown", ""
    try:
        folder = Path(__file__).parent
        repository = git.Repo(folder, search_parent_directories=True)
        if not repository.git.ls_files("--", str(folder)):
            return "unknown", ""
        changes = repository.git.diff("HEAD", "--", ":(top)", _SECRET)
        return repository.head.commit.hexsha, changes
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
