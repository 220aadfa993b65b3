"""Tiny passages with questions about them, for tests of question answering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.predictions import Predictions
from pipelines.recipe import Recipe
from pipelines.tasks.question_answering.config import QuestionAnsweringConfig
from pipelines.tasks.question_answering.data import Questions, questions
from pipelines.tasks.question_answering.task import QuestionAnswering

SIZES = {"train": 48, "validation": 12, "test": 16}
_NAMES = ("Ann", "Bob", "Zoë", "Dan")
_PLACES = ("Oslo", "Rome", "São Paulo", "Bern", "Łódź", "Nîmes")


def columns_by_split(sizes: Mapping[str, int] = SIZES) -> dict[str, dict[str, np.ndarray]]:
    """Where somebody lives, in a passage about three people, as `data.questions` takes it."""
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


def config(architecture: str = "bert_tiny", **options: Any) -> QuestionAnsweringConfig:
    """A network for them that trains in a moment."""
    small = {"layers": 1, "heads": 2, "width": 16, "feed_forward": 16}
    defaults: dict[str, Any] = {
        "dataset": "homes",
        "vocabulary": 200,
        "max_length": 48,
        "recipe": Recipe(epochs=1, batch_size=8),
        "model": small,
    }
    return QuestionAnsweringConfig(architecture=architecture, **{**defaults, **options})


def loaded(task: QuestionAnswering, sizes: Mapping[str, int] = SIZES) -> Questions:
    """The data set as the task would load it."""
    return questions(
        columns_by_split(sizes),
        lambda texts: task.word_pieces(texts, lowercase=False),
        name="homes",
        version="1.0.0",
        digest="0123456789ab",
    )


def predictions() -> Predictions:
    """Three predictions in one passage: right, half right for the better truth, wrong."""
    context = b"He left New York City in May."
    spans = np.array([[0, 0], [8, 11], [12, 16], [17, 21], [25, 28], [0, 0]], np.int32)
    columns = {name: np.empty(3, object) for name in ("context", "spans", "answers")}
    columns["context"][:] = [context] * 3
    for row in range(3):
        columns["spans"][row] = spans
    columns["answers"][:] = [(b"the New York City",), (b"May", b"York City"), (b"New York",)]
    return Predictions(columns, {"start": np.array([1, 1, 4]), "end": np.array([3, 3, 4])})
