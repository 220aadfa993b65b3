"""Tables and file names in README and docs, and commands in docstrings, agree with the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from architectures import ARCHITECTURES
from architectures.__main__ import markdown
from pipelines.catalog import PIPELINES
from pipelines.cli import parse
from pipelines.config import check

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def table(first_column: str) -> list[list[str]]:
    """Returns the cells of the table whose first column is headed so, without its header."""
    rows = README.split(f"| {first_column} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]


def test_every_pipeline_has_its_row():
    assert table("pipeline") == [
        [
            name,
            pipeline.summary,
            pipeline.defaults.dataset or "its teacher's",
            pipeline.defaults.architecture,
        ]
        for name, pipeline in PIPELINES.items()
    ]


def test_every_pipeline_has_its_baselines_and_its_signatures():
    for page in ("docs/pipelines.md", "docs/signatures.md"):
        text = (ROOT / page).read_text()
        for name in PIPELINES:
            assert f"\n| `{name}` | " in text, page


def test_the_readme_counts_the_architectures_and_stays_short():
    assert f"# {len(ARCHITECTURES)} networks" in README
    assert len(README.splitlines()) <= 160


def test_the_page_of_architectures_carries_the_table():
    assert markdown() in (ROOT / "docs/architectures.md").read_text()


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        *(page.relative_to(ROOT).as_posix() for page in sorted((ROOT / "docs").rglob("*.md"))),
    ],
)
def test_links_and_named_files_exist(page):
    text = (ROOT / page).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    files = re.findall(
        r"`((?:architectures|benchmarks|pipelines|serving|tests)/[a-z_/]+\.py)`", text
    )
    missing = [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    missing += [file for file in files if not (ROOT / file).exists()]
    assert missing == []


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make (\w+)", README, re.MULTILINE))
    assert {"demo", "test", "ui", "serve", "check"} <= named
    assert named <= targets


def commands(text: str) -> list[list[str]]:
    """Returns the arguments of each `python -m pipelines PIPELINE` in a text."""
    lines = text.replace("\\\\\n", " ").replace("\\\n", " ").splitlines()
    found = [
        line.split("python -m pipelines ", 1)[1]
        for line in lines
        if line.strip().startswith("python -m pipelines ")
    ]
    arguments = [shlex.split(line, comments=True) for line in found]
    return [
        one for one in arguments if one and one[0] in PIPELINES and not {"--help", "?"} & {*one}
    ]


@pytest.mark.parametrize(
    "file",
    sorted((ROOT / "pipelines/tasks").rglob("*.py")),
    ids=lambda file: file.relative_to(ROOT).as_posix(),
)
def test_the_command_line_understands_every_command(file):
    for arguments in commands(file.read_text()):
        if "--config" in arguments:  # The file of an earlier run.
            continue
        name, config = parse(arguments)
        check(config)
        assert name == arguments[0]


def test_there_are_commands_to_understand():
    assert len(commands(README)) >= 3
    assert len(commands((ROOT / "pipelines/tasks/translation/task.py").read_text())) == 2
