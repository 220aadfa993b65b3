"""Synthetic data sets of any size, as files that `--dataset` takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np


def images(folder: Path, count: int) -> Path:
    """Writes JPEG files as CLASS/IMAGE, of two classes, in folders of a thousand."""
    from PIL import Image

    random = np.random.default_rng(0)
    for number in range(count):
        file = folder / "images" / f"class{number % 2}" / f"{number // 1000}" / f"{number}.jpg"
        if number % 1000 < 2:
            file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (28, 28), np.uint8)).save(file, quality=75)
    return folder / "images"


def _sentences(count: int) -> Iterator[str]:
    """Yields texts of 5 to 19 words, about 80 characters."""
    random = np.random.default_rng(0)
    words = [f"word{number}" for number in range(2000)]
    for _ in range(count):
        yield " ".join(words[index] for index in random.integers(0, 2000, random.integers(5, 20)))


def texts(folder: Path, count: int) -> Path:
    """Writes a table of texts of two classes."""
    file = folder / "texts.csv"
    with file.open("w") as opened:
        opened.write("text,label\n")
        opened.writelines(f"{x},class{i % 2}\n" for i, x in enumerate(_sentences(count)))
    return file


def pairs(folder: Path, count: int) -> Path:
    """Writes texts with the first words of each in another order."""
    rows = (
        {"source": text, "target": " ".join(reversed(text.split()[:8]))}
        for text in _sentences(count)
    )
    return _json_lines(folder / "pairs.jsonl", rows)


def documents(folder: Path, count: int) -> Path:
    """Writes documents of three texts."""
    rows = ({"text": " . ".join(three)} for three in _threes(count))
    return _json_lines(folder / "documents.jsonl", rows)


def series(folder: Path, count: int) -> Path:
    """Writes a series of hourly values."""
    times = np.datetime64("1950-01-01T00", "h") + np.arange(count)
    values = np.random.default_rng(0).normal(100, 10, count)
    file = folder / "series.csv"
    with file.open("w") as opened:
        opened.write("time,units\n")
        opened.writelines(
            f"{time},{value:.2f}\n" for time, value in zip(times, values, strict=True)
        )
    return file


def labels(folder: Path, count: int) -> Path:
    """Writes texts with a tag for each word; every second word is a span."""

    def rows() -> Iterator[dict[str, Any]]:
        for text in _sentences(count):
            words = text.split()
            tags = [("B-A", "O", "B-B", "O")[int(word[4:]) % 4] for word in words]
            yield {"tokens": words, "tags": tags}

    return _json_lines(folder / "labels.jsonl", rows())


def questions(folder: Path, count: int) -> Path:
    """Writes questions, each about a passage of its own."""

    def rows() -> Iterator[dict[str, Any]]:
        for context in map(" . ".join, _threes(count)):
            question, answer = f"what is behind {context[:20]}", context.split()[4]
            yield {"question": question, "context": context, "answer": answer}

    return _json_lines(folder / "questions.jsonl", rows())


def sentences(folder: Path, count: int) -> Path:
    """Writes documents of three sentences."""
    rows = ({"text": ". ".join(x.capitalize() for x in three)} for three in _threes(count))
    return _json_lines(folder / "sentences.jsonl", rows)


def _threes(count: int) -> Iterator[list[str]]:
    """Yields three texts each time."""
    every = _sentences(3 * count)
    return (list(islice(every, 3)) for _ in range(count))


def _json_lines(file: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    with file.open("w") as opened:
        opened.writelines(f"{json.dumps(row)}\n" for row in rows)
    return file
