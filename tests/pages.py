"""Code blocks of documentation pages; those that are a package, written out and installed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r'^```(\w*)(?: title="(\S+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A code block of a page, with the language of its fence and the file that is its title."""

    page: Path
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Returns the files of the documentation: README and its like, and all of docs/."""
    names = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
    return [*(ROOT / name for name in names), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """Returns the code blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2] or "", match[3])
        for match in _BLOCK.finditer(text)
    ]
    assert text.count("\n```") + text.startswith("```") == 2 * len(found), page
    return found


def commands(text: str) -> Iterator[str]:
    """Yields the commands of a shell block: lines, joined where a backslash or a quote goes on."""
    command = ""
    for line in text.splitlines():
        command += line
        if line.endswith("\\"):
            command = command[:-1] + " "
            continue
        try:
            words = shlex.split(command, comments=True)
        except ValueError:  # A quote is open.
            command += "\n"
            continue
        if words:
            yield from re.split(r" && ", command)
        command = ""
    assert not command, text


def write_package(page: Path, folder: Path) -> list[str]:
    """Writes each code block of a page whose title is a file, and returns these names."""
    titled = [block for block in blocks(page) if block.title]
    for block in titled:
        file = folder / block.title
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text)
    return [block.title for block in titled]


def python_blocks(page: Path) -> list[str]:
    """Returns the blocks of Python on a page that are no files."""
    found = blocks(page)
    return [block.text for block in found if block.language == "python" and not block.title]


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
