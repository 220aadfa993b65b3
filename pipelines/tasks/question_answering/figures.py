"""Figures of question answering: reliability, F1 by kind, answers, mistakes and attention."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import keras
import numpy as np
from matplotlib.figure import Figure

from pipelines import figures as plots
from pipelines import style
from pipelines.predictions import Predictions
from pipelines.tasks import classification
from pipelines.tasks.question_answering.data import Questions
from pipelines.tasks.question_answering.decoding import answer_texts
from pipelines.tasks.question_answering.metrics import f1_by_kind, per_question
from pipelines.text import figures as text_figures


def figures(model: keras.Model, data: Questions, test: Predictions) -> Iterator[tuple[str, Figure]]:
    """Yields reliability, scores by kind of answer and passage, answers, and attention.

    Args:
        model: The trained network.
        data: The data set.
        test: The network's predictions on the test split.
    """
    f1, exact = per_question(test).T
    probabilities = test.predicted["score"]
    yield (
        "reliability",
        classification.reliability(probabilities, exact > 0, counted="questions"),
    )
    label = style.directed("F1, 0 to 1", True, axis="x")
    title = "Test questions by kind (number of questions)"
    yield "f1_by_kind", plots.bars(f1_by_kind(test), x_label=label, title=title)
    first = np.arange(min(12, len(f1)))
    yield "answers", _answers(test.take(first), "Answers to the first test questions")
    wrong = np.flatnonzero(f1 < 1)
    worst = wrong[np.lexsort((-probabilities[wrong], f1[wrong]))][:12]
    title = "Wrong answers on the test split, the most confident first"
    yield "worst_mistakes", _answers(test.take(worst), title)
    yield "lengths", text_figures.lengths(data.train)
    # The shortest question, which is plotted whole, and the passage around its answer.
    number = int(np.argmin([len(question) for question in test.examples["question"]]))
    ((inputs, target),) = data.test.skip(test.rows[number]).take(1).as_numpy_iterator()
    places = [*range(16), *range(max(16, target["start"] - 8), max(32, target["start"] + 8))]
    tokens = [data.tokenizer.vocabulary[index] for index in inputs["token_ids"]]
    inputs = {name: x[np.newaxis] for name, x in inputs.items()}
    yield from text_figures.attention(model, inputs, tokens, places)


def _answers(test: Predictions, title: str) -> Figure:
    truths = (b" | ".join(dict.fromkeys(t)).decode() for t in test.examples["answers"])
    captions = [
        f"{textwrap.shorten(answer, 60, placeholder=' …') or 'nothing'} {score:.2f}, true {truth}"
        for answer, score, truth in zip(
            answer_texts(test), test.predicted["score"], truths, strict=True
        )
    ]
    columns = (test.examples[name] for name in ("question", "context"))
    asked = [
        f"{question.decode()} | {context.decode()}"
        for question, context in zip(*columns, strict=True)
    ]
    right = [exact > 0 for _, exact in per_question(test)]
    return text_figures.texts(asked, captions, title=title, right=right)
