"""Cloze questions about passages of State of the Union addresses, in the form of SQuAD.

The speeches are those of `sotu.py`, which states source and license. A passage is a few consecutive
sentences with 60 to 150 words; passages do not overlap. A question is one sentence of its passage
in which a blank replaces a number or a capitalized name, the answer:

    context:  … The revenue of last year was $5,000,000. It will be more in the next. …
    question: The revenue of last year was $_____.
    answer:   5,000,000

These questions are generated: sentence and answer are in the passage word for word, so the task is
alignment, to find the sentence and what fills the blank, and not understanding. To keep it from
being trivial, a passage has at least three different numbers and names; an answer is not repeated
in its question; no other answer fits the same question; the first word of a sentence is never a
name; no answer is that of more than 1 % of a split.

A passage has at most four questions, each with another answer:

| split      | questions | passages | speeches |
|------------|-----------|----------|----------|
| train      | 8000      | 2426     | 84       |
| validation | 1000      | 316      | 17       |
| test       | 1000      | 310      | 17       |

No speech is in two splits. Numbers are a fifth of the answers. A random number or name of the
passage is the answer to 23 % of the questions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from pipelines.datasets import splitting
from pipelines.datasets.builders import Examples, sotu

SIZES = {"train": 8000, "validation": 1000, "test": 1000}
BLANK = "_____"

WORDS = range(60, 151)
MIN_WORDS = 5  # Of a question.
MIN_ANSWERS = 3  # Different answers to questions about one passage.
MAX_PER_PASSAGE = 4  # Questions about one passage.
MAX_PER_ANSWER = 0.01  # Fraction of a split with the same answer.

# A number, or all of a run of capitalized words after a word in lower case, hence within a
# sentence. If a period and more follow, the last word may be a title.
_NUMBER = r"(?<![\w.,])\d(?:[\d,.]*\d)?(?!\w)"
_NAME = r"(?<=[a-z] )[A-Z][A-Za-z]+(?: [A-Z][A-Za-z]+)*\b(?!\. \S| [A-Z])"
_SPAN = re.compile(f"{_NUMBER}|{_NAME}")


@dataclass(frozen=True)
class Cloze:
    """One question.

    Attributes:
        context: The passage.
        question: One of its sentences with `BLANK` in it.
        answer: The text that `BLANK` replaces.
        start: Offset of the answer in the passage, in characters.
    """

    context: str
    question: str
    answer: str
    start: int


def passages(sentences: list[str]) -> Iterator[list[str]]:
    """Yields runs of consecutive sentences whose number of words is in `WORDS`."""
    run: list[str] = []
    for sentence in sentences:
        run.append(sentence)
        words = sum(len(part.split()) for part in run)
        if words >= WORDS.start:
            if words < WORDS.stop and len(run) > 1:
                yield run
            run = []


def questions(passage: list[str]) -> list[Cloze]:
    """Returns all possible questions about a passage."""
    context = " ".join(passage)
    found, offset = [], 0
    for sentence in passage:
        for span in _SPAN.finditer(sentence):
            question = f"{sentence[: span.start()]}{BLANK}{sentence[span.end() :]}"
            if not re.search(rf"\b{re.escape(span.group())}\b", question):
                found.append(Cloze(context, question, span.group(), offset + span.start()))
        offset += len(sentence) + 1
    if len({cloze.answer for cloze in found}) < MIN_ANSWERS:
        return []
    times = Counter(cloze.question for cloze in found)
    return [
        cloze
        for cloze in found
        if times[cloze.question] == 1 and len(cloze.question.split()) >= MIN_WORDS
    ]


def sample(split: str) -> dict[str, Cloze]:
    """Returns the questions of a split by id."""
    candidates, seen = {}, set()
    for speech in sotu.speeches(split):
        for number, passage in enumerate(passages(speech.sentences())):
            if tuple(passage) not in seen:
                seen.add(tuple(passage))
                candidates[f"{speech.name}-{number}"] = questions(passage)
    answers: Counter[str] = Counter()
    max_per_answer = MAX_PER_ANSWER * SIZES[split]
    found: dict[str, Cloze] = {}
    for name in splitting.shuffled(candidates, key=str):
        chosen: dict[str, Cloze] = {}
        for cloze in splitting.shuffled(candidates[name], key=lambda cloze: cloze.question):
            if len(chosen) < MAX_PER_PASSAGE and answers[cloze.answer] < max_per_answer:
                chosen.setdefault(cloze.answer, cloze)
        answers.update(list(chosen))
        found |= {f"{name}-{number}": cloze for number, cloze in enumerate(chosen.values())}
    return dict(list(found.items())[: SIZES[split]])


class SotuCloze(tfds.core.GeneratorBasedBuilder):
    """Passages, questions with a blank, and answers with their offsets."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Split by speech; at most four questions per passage."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Cloze questions about passages of State of the Union addresses.",
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "title": tfds.features.Text(),
                    "context": tfds.features.Text(),
                    "question": tfds.features.Text(),
                    "answers": tfds.features.Sequence(
                        {"text": tfds.features.Text(), "answer_start": np.int32}
                    ),
                }
            ),
            homepage="https://github.com/stdlib-js/datasets",
            license="CC0-1.0 AND PDDL-1.0",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # Nothing is downloaded.
        return {split: self._generate_examples(split) for split in SIZES}

    def _generate_examples(self, split: str) -> Examples:
        titles = {s.name: f"{s.president}, {s.year}" for s in sotu.speeches(split)}
        for name, cloze in sample(split).items():
            yield (
                name,
                {
                    "id": name,
                    "title": titles[name.partition("-")[0]],
                    "context": cloze.context,
                    "question": cloze.question,
                    "answers": [{"text": cloze.answer, "answer_start": cloze.start}],
                },
            )
