"""Every code block of README and docs is run, read by the program that it is for, or compared.

Commands are read by the parsers of their programs, data by those of their formats. What needs more
than that, such as Python, is named in `TESTS` with the test that runs it. A block for which there
is nothing here fails.
"""

from __future__ import annotations

import ast
import configparser
import csv
import functools
import json
import re
import shlex
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests import command_lines, pages
from tests.pages import ROOT, Block

# By page and language, how many blocks the test after it runs or compares.
TESTS: dict[tuple[str, str], tuple[int, str]] = {
    ("README.md", "python"): (1, "end_to_end/test_image_classification.py"),
    ("docs/adding-a-dataset.md", "python"): (1, "pipelines/datasets/test_adding_a_dataset.py"),
    ("docs/adding-a-pipeline.md", "python"): (3, "pipelines/test_adding_a_pipeline.py"),
    ("docs/adding-an-architecture.md", "python"): (
        3,
        "architectures/test_adding_an_architecture.py",
    ),
    ("docs/client.md", "python"): (8, "serving/test_client_docs.py"),
    ("docs/pipelines.md", "python"): (1, "end_to_end/test_image_classification.py"),
    ("docs/scoring.md", "python"): (1, "serving/scoring/test_scoring_docs.py"),
    ("docs/serving.md", "proto"): (5, "serving/test_server_docs.py"),
    ("docs/signatures.md", "python"): (2, "end_to_end/test_language_modeling.py"),
    ("docs/tutorials/bert.md", "python"): (1, "test_tutorials.py"),
    ("docs/tutorials/canary.md", "python"): (1, "serving/test_tutorial_clients.py"),
    ("docs/tutorials/images.md", "python"): (2, "serving/test_tutorial_clients.py"),
    ("docs/tutorials/pipeline.md", "python"): (2, "test_tutorials.py"),
    ("docs/tutorials/translation.md", "python"): (1, "end_to_end/test_translation.py"),
    ("docs/your-data.md", "text"): (5, "pipelines/datasets/test_your_data.py"),
}
BLOCKS = [block for page in pages.pages() for block in pages.blocks(page)]


def key(block: Block) -> tuple[str, str]:
    return block.page.relative_to(ROOT).as_posix(), block.language


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder without a store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.mark.parametrize("block", [block for block in BLOCKS if key(block) not in TESTS], ids=str)
def test_a_block_is_understood(block, folder):
    """By what it is for; commands find the files that their page shows."""
    if block.language == "sh":
        pages.write_package(block.page, folder)
        (folder / "config.yaml").write_text("{}")  # As that of an earlier run.
        for command in pages.commands(block.text):
            # What the page's own package adds is run by the test that installs it.
            if not added(block.page) & {*shlex.split(command, comments=True)}:
                command_lines.read(command)
    elif block.language == "json":
        assert [json.loads(line) for line in block.text.splitlines()]
    elif block.language == "csv":
        first = block.text.splitlines()[0]
        (separator,) = [each for each in (";", "\t", ",") if each in first][:1]
        rows = [*csv.reader(block.text.splitlines(), delimiter=separator)]
        assert {len(row) for row in rows} == {len(rows[0])}
    elif block.language == "toml":
        assert tomllib.loads(block.text)["project"]
    elif block.language == "ini":
        config = configparser.ConfigParser()
        config.read_string(block.text)
        assert config.sections()
    elif block.language == "yaml":
        assert yaml.safe_load(block.text)
    else:
        assert block.language in ("", "text"), "nothing here understands it"
        shows = OUTPUTS.get((block.page.name, block.text.split()[0]))
        if block.page.parent.name == "tutorials":
            shows = message
        assert shows, "nothing here says what it shows"
        assert shows(block.text)


def added(page: Path) -> set[str]:
    """Returns the names that a package on the page adds by its entry points."""
    pattern = r'^\[project\.entry-points\.[^\]]+\]\n(\w+) = "'
    return set(re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE))


def tree(text: str) -> bool:
    """Whether the files and folders that are named exist where they are named."""
    for part in re.split(r"^(?=\w)", text, flags=re.MULTILINE):
        if not part.strip():
            continue
        top, _, rest = part.partition("/")
        inside = {path.name for path in (ROOT / top).rglob("*") if "__pycache__" not in path.parts}
        assert set(re.findall(r"(?<![\w/])(\w+\.py)\b", rest)) <= inside
        folders = set(re.findall(r"(?<![\w/])([a-z_]+)/(?!\w)", rest))
        assert folders <= inside | {path.name for path in ROOT.iterdir()}
    return True


def drawing(text: str) -> bool:
    names = re.findall(r"(\w+)/", text)
    assert [name for name in names if not (ROOT / name).is_dir()] == []
    return bool(names)


@functools.cache
def trigrams() -> set[tuple[str, str, str]]:
    """Returns each three words in a row of the messages in the code; "*" is what they insert."""
    found: set[tuple[str, str, str]] = set()
    for package in ("foundry", "pipelines", "serving"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [
                        str(value.value) if isinstance(value, ast.Constant) else " * "
                        for value in node.values
                    ]
                    words = _words("".join(parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    words = _words(node.value)
                else:
                    continue
                found |= set(zip(words, words[1:], words[2:], strict=False))
    return found


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z_'*-]+", text)


def message(text: str) -> bool:
    """Whether three words in a row, wherever there are as many, are those of a message."""
    known = trigrams()
    for command in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
        command_lines.read(command)
    text = re.sub(r"(\$ |foundry |python -m |--\w).*", "", text)
    for phrase in re.split(r"[^A-Za-z_' -]+|  +", text):
        words = _words(phrase)
        for three in zip(words, words[1:], words[2:], strict=False):
            masks = (
                [*three],
                ["*", *three[1:]],
                [*three[:2], "*"],
                [three[0], "*", three[2]],
                ["*", three[1], "*"],
            )
            assert any(tuple(mask) in known for mask in masks), (three, phrase)
    return True


# By page and first word of a block that shows something, what checks it.
OUTPUTS = {
    ("architecture.md", "architectures/"): drawing,
    ("architecture.md", "foundry/"): tree,
    ("diagnosis.md", "warning:"): message,
    ("diagnosis.md", "the"): message,
    ("scoring.md", "$"): message,
}


def test_each_test_that_is_named_knows_its_page():
    for (page, _), (_, test) in TESTS.items():
        text = (ROOT / "tests" / test).read_text(encoding="utf-8")
        assert Path(page).name in text, test


def test_the_named_tests_have_all_blocks_of_their_pages():
    found = Counter(key(block) for block in BLOCKS)
    assert {each: found[each] for each in TESTS} == {each: n for each, (n, _) in TESTS.items()}
