"""docs/your-data.md: each command loads the example that stands below it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.catalog import PIPELINES, make_task
from pipelines.cli import parse
from pipelines.config import check
from pipelines.datasets import checks
from tests.pages import ROOT

PAGE = (ROOT / "docs/your-data.md").read_text()
COPIES = 40  # Of each row: the examples of the page are too few to be split.


@dataclass(frozen=True)
class Section:
    """The first command of a section, and its examples by the name of their file or folder."""

    command: str
    examples: Mapping[str, str]


def sections() -> dict[str, Section]:
    """Returns the sections about a task, by its pipeline."""
    found = {}
    for text in PAGE.partition("\n## Rules")[0].split("\n## ")[1:]:
        command = re.search(r"^python -m pipelines (\w+) .*$", text, re.MULTILINE)
        blocks = re.findall(r'^```\w+ title="(\S+)"\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
        assert command
        found[command[1]] = Section(command[0], dict(blocks))
    return found


SECTIONS = sections()


def lines(text: str, grown: Callable[[str, int], str]) -> str:
    """Returns a header, and the rows below it again and again, each changed by its number."""
    header, *rows = text.splitlines()
    many = [grown(row, number) for number in range(COPIES) for row in rows]
    return "\n".join([header, *many, ""])


def images(folder: Path, text: str) -> None:
    """Writes several images, or masks of two values, in place of each that the text lists."""
    random = np.random.default_rng(0)
    for name in text.splitlines():
        for copy in range(COPIES // 4):
            file = folder / f"{name[:-4]}{copy}{name[-4:]}"
            file.parent.mkdir(parents=True, exist_ok=True)
            shape = (16, 16) if "masks" in name else (16, 16, 3)
            limit = 2 if "masks" in name else 256
            Image.fromarray(random.integers(0, limit, shape, np.uint8)).save(file)


def album(file: Path, text: str) -> None:
    """Writes a table of captions with several images, and their rows, in place of each."""
    random = np.random.default_rng(0)
    header, *rows = text.splitlines()
    many = []
    for copy in range(COPIES // 4):
        for row in rows:
            name, caption = row.split(",", 1)
            image = file.parent / f"{name[:-4]}{copy}{name[-4:]}"
            image.parent.mkdir(parents=True, exist_ok=True)
            many.append(f"{image.relative_to(file.parent)},{caption}")
            if not image.exists():
                Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(image)
    file.write_text("\n".join([header, *many, ""]))


def reviews(text: str) -> str:
    return lines(text, lambda row, number: re.sub(r'("?),(\d+)$', rf" {number}\1,\2", row))


def phrases(text: str) -> str:
    return lines(text, lambda row, number: row.replace("\t", f" {number}\t") + f" {number}")


def questions(text: str) -> str:
    rows = [json.loads(line) for line in text.splitlines()]
    many = [
        {**row, "context": f"{row['context']} It was day {number}."}
        for number in range(COPIES)
        for row in rows
    ]
    return "".join(json.dumps(row) + "\n" for row in many)


def people(text: str) -> str:
    return "\n".join(f"{text}{number} O\n" for number in range(COPIES))


def sales(text: str) -> str:
    """Continues the series of three days, each by the week."""
    header, *rows = text.splitlines()
    shop = rows[0].split(";")[1]
    assert [row.split(";")[0] for row in rows] == [f"2021-01-0{day}" for day in (1, 2, 3)]
    days = np.arange("2021-01-04", "2021-06-30", dtype="datetime64[D]")
    more = [f"{day};{shop};{1200 + 40 * (n % 7)},{n % 10}" for n, day in enumerate(days)]
    return "\n".join([header, *rows, *more, ""])


GROWN: Mapping[str, Callable[[str], str]] = {
    "reviews.csv": reviews,
    "phrases.tsv": phrases,
    "questions.jsonl": questions,
    "people.conll": people,
    "sales.csv": sales,
    "novel.txt": lambda text: text * COPIES,
}


def write(folder: Path, name: str, text: str) -> None:
    if name in ("pets", "cells"):
        images(folder, text)
    elif name == "album/captions.csv":
        album(folder / name, text)
    elif name == "corpus/ship.txt":
        (folder / "corpus").mkdir()
        for number in range(COPIES):
            (folder / f"corpus/{number}.txt").write_text(f"{text}This was trip {number}.\n")
    elif name != "pets.csv":
        (folder / name).write_text(GROWN[name](text))


def test_every_task_has_its_section():
    # A student is trained on its teacher's data; both pre-trainings read the same files.
    assert {*SECTIONS, "distillation", "electra_pretraining"} == set(PIPELINES)


@pytest.mark.parametrize("pipeline", SECTIONS)
def test_the_command_loads_the_example(pipeline, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    section = SECTIONS[pipeline]
    for name, text in section.examples.items():
        write(tmp_path, name, text)
    name, config = parse(shlex.split(section.command)[3:])
    check(config)
    assert Path(config.dataset).exists()
    data = make_task(name, config).load()
    assert all(size > 0 for size in data.sizes.values())
    assert not any(data.left_out.values())
    assert len(list(data.test.take(1))) == 1
    found = dict(checks.check(data).rows)
    assert found["examples"] == tuple(str(size) for size in data.sizes.values())
    if pipeline == "text_classification":
        assert {name for name in found if name.startswith("class")} == {"class 01", "class 02"}
    if pipeline == "forecasting":
        assert any("decimal comma" in note for note in data.notes)


def test_a_table_of_images_is_read_from_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed = [f"files/{number}.jpg" for number in range(COPIES)]
    random = np.random.default_rng(0)
    (tmp_path / "files").mkdir()
    for name in listed:
        Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(tmp_path / name)
    header, *rows = SECTIONS["image_classification"].examples["pets.csv"].splitlines()
    labels = [row.split(",")[1] for row in rows]
    table = [f"{name},{labels[number % 2]}" for number, name in enumerate(listed)]
    (tmp_path / "pets.csv").write_text("\n".join([header, *table, ""]))
    _, config = parse(["image_classification", "--dataset", "./pets.csv"])
    data = make_task("image_classification", config).load()
    assert data.sizes == {"train": 32, "validation": 4, "test": 4}
    assert dict(checks.check(data).rows)["class cat"] == ("16", "2", "2")
