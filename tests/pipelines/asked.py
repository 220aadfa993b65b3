"""Tiny passages with questions about them, for tests of question answering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.config import Recipe
from pipelines.tasks.question_answering import data as questions
from pipelines.tasks.question_answering.task import QuestionAnswering
from pipelines.text.config import TextConfig

SIZES = {"train": 48, "validation": 12, "test": 16}
_NAMES = ("Ann", "Bob", "Zoë", "Dan")
_PLACES = ("Oslo", "Rome", "São Paulo", "Bern", "Łódź", "Nîmes")


def asked(sizes: Mapping[str, int] = SIZES) -> dict[str, dict[str, np.ndarray]]:
    """Where somebody lives, in a passage about three people, as `questions.questions` takes it."""
    random = np.random.default_rng(0)
    columns = {}
    for split, size in sizes.items():
        rows = []
        for _ in range(size):
            names = random.permutation(_NAMES)[:3]
            places = random.permutation(_PLACES)[:3]
            context = " ".join(f"{n} lives in {p}." for n, p in zip(names, places, strict=True))
            start = len(context[: context.index(places[1])].encode())
            question = f"{names[1]} lives in _____."
            rows.append((question.encode(), context.encode(), (places[1].encode(),), start))
        columns[split] = as_columns(rows)
    return columns


def as_columns(
    rows: Sequence[tuple[bytes, bytes, tuple[bytes, ...], int]],
) -> dict[str, np.ndarray]:
    """Columns of (question, context, answers, answer_start) rows."""
    columns = {}
    for name, values in zip(
        ("question", "context", "answers", "answer_start"), zip(*rows, strict=True), strict=True
    ):
        columns[name] = np.empty(len(rows), np.int64 if name == "answer_start" else object)
        columns[name][:] = values
    return columns


def config(architecture: str = "bert_tiny", **options: Any) -> TextConfig:
    """A network for them that trains in a moment."""
    small = {"layers": 1, "heads": 2, "width": 16, "feed_forward": 16}
    defaults: dict[str, Any] = {
        "dataset": "asked",
        "vocabulary": 200,
        "max_length": 48,
        "recipe": Recipe(epochs=1, batch_size=8),
        "model": small,
    }
    return TextConfig(architecture=architecture, **{**defaults, **options})


def loaded(task: QuestionAnswering, chosen: TextConfig, sizes: Mapping[str, int] = SIZES) -> Any:
    """The data set as the task would load it."""
    task.choose(chosen)
    return questions.questions(
        asked(sizes),
        lambda texts: task.word_pieces(chosen, texts, lowercase=False),
        name="asked",
        version="1.0.0",
        digest="0123456789ab",
    )
