"""The README's tables and file names agree with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from architectures import ARCHITECTURES
from architectures.__main__ import markdown
from pipelines.catalog import PIPELINES

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def table(first_column: str) -> list[list[str]]:
    """Returns the cells of the table whose first column is headed so, without its header."""
    rows = README.split(f"| {first_column} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]


def test_every_pipeline_has_its_row():
    assert table("pipeline") == [
        [name, pipeline.summary, pipeline.defaults.dataset, pipeline.defaults.architecture]
        for name, pipeline in PIPELINES.items()
    ]


def test_every_architecture_has_its_place_in_a_family():
    families: dict[str, list[str]] = {}
    for name, entry in ARCHITECTURES.items():
        families.setdefault(entry.family, []).append(name)
    listed = {family: re.findall(r"[\w]+", names) for family, names in table("family")}
    assert listed == families


def test_the_page_of_architectures_carries_the_table():
    assert markdown() in (ROOT / "docs/architectures.md").read_text()


@pytest.mark.parametrize(
    "page",
    [
        *("README.md", "CONTRIBUTING.md"),
        *("docs/architecture.md", "docs/adding-an-architecture.md", "docs/client.md"),
        "docs/rollout.md",
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
    assert links or files
    assert missing == []


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make (\w+)", README, re.MULTILINE))
    assert {"demo", "test", "ui", "serve", "check"} <= named
    assert named <= targets
