"""Cloze questions about passages of State of the Union addresses, in the form of SQuAD.

The speeches are those of `sotu.py`, which states source and licence. A passage is a few consecutive
sentences, 60 to 150 words in all; passages do not overlap. A question is one sentence of its
passage with a number or a capitalised name blanked, and the answer is what stood there:

    context:  … The revenue of last year was $5,000,000. It will be more in the next. …
    question: The revenue of last year was $_____.
    answer:   5,000,000

Nobody wrote these questions: sentence and answer stand in the passage word for word, so the task is
alignment, to find the sentence again and read off what fills the gap; it is no test of
understanding. What keeps it from being trivial: a passage has at least three different numbers and
names to choose from; an answer stands nowhere else in its question; no other answer fits the same
question; the first word of a sentence is never taken for a name; no answer makes up more than 1 %
of a split.

A passage is asked about four times at most, each time for another answer:

| split      | questions | passages | speeches |
|------------|-----------|----------|----------|
| train      | 8000      | 2426     | 84       |
| validation | 1000      | 316      | 17       |
| test       | 1000      | 310      | 17       |

No speech is in two splits. Numbers are a fifth of the answers. A random choice among the numbers
and names of the passage is right for 23 % of the questions.
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
from pipelines.datasets.builders import sotu

SIZES = {"train": 8000, "validation": 1000, "test": 1000}
BLANK = "_____"

WORDS = range(60, 151)
FEWEST_WORDS = 5  # Of a question.
CHOICES = 3  # Different answers that a passage must offer at least.
PER_PASSAGE = 4  # Questions at most.
LARGEST_SHARE = 0.01  # Of a split, of one answer.

# A number, or all of a run of capitalised words after one in small letters, hence within a
# sentence. A period and more after it would make the last word a title.
_NUMBER = r"(?<![\w.,])\d(?:[\d,.]*\d)?(?!\w)"
_NAME = r"(?<=[a-z] )[A-Z][A-Za-z]+(?: [A-Z][A-Za-z]+)*\b(?!\. \S| [A-Z])"
_SPAN = re.compile(f"{_NUMBER}|{_NAME}")


@dataclass(frozen=True)
class Cloze:
    """One question.

    Attributes:
        context: The passage.
        question: One of its sentences with `BLANK` in it.
        answer: What `BLANK` stands for.
        start: Where the answer begins in the passage, in characters.
    """

    context: str
    question: str
    answer: str
    start: int


def passages(sentences: list[str]) -> Iterator[list[str]]:
    """Yields runs of consecutive sentences with as many words as `WORDS` allows."""
    run: list[str] = []
    for sentence in sentences:
        run.append(sentence)
        words = sum(len(part.split()) for part in run)
        if words >= WORDS.start:
            if words < WORDS.stop and len(run) > 1:
                yield run
            run = []


def questions(passage: list[str]) -> list[Cloze]:
    """Returns all questions that can be asked about the sentences of a passage."""
    context = " ".join(passage)
    found, offset = [], 0
    for sentence in passage:
        for span in _SPAN.finditer(sentence):
            question = f"{sentence[: span.start()]}{BLANK}{sentence[span.end() :]}"
            if not re.search(rf"\b{re.escape(span.group())}\b", question):
                found.append(Cloze(context, question, span.group(), offset + span.start()))
        offset += len(sentence) + 1
    if len({cloze.answer for cloze in found}) < CHOICES:
        return []
    times = Counter(cloze.question for cloze in found)
    return [
        cloze
        for cloze in found
        if times[cloze.question] == 1 and len(cloze.question.split()) >= FEWEST_WORDS
    ]


def drawn(split: str) -> dict[str, Cloze]:
    """Returns the questions of a split and the names they go by."""
    asked, seen = {}, set()
    for speech in sotu.speeches(split):
        for number, passage in enumerate(passages(speech.sentences())):
            if tuple(passage) not in seen:
                seen.add(tuple(passage))
                asked[f"{speech.name}-{number}"] = questions(passage)
    answers: Counter[str] = Counter()
    found: dict[str, Cloze] = {}
    for name in splitting.shuffled(asked, key=str):
        chosen: dict[str, Cloze] = {}
        for cloze in splitting.shuffled(asked[name], key=lambda cloze: cloze.question):
            if len(chosen) < PER_PASSAGE and answers[cloze.answer] < LARGEST_SHARE * SIZES[split]:
                chosen.setdefault(cloze.answer, cloze)
        answers.update(list(chosen))
        found |= {f"{name}-{number}": cloze for number, cloze in enumerate(chosen.values())}
    return dict(list(found.items())[: SIZES[split]])


class SotuCloze(tfds.core.GeneratorBasedBuilder):
    """Passages, questions with a blank, and where the answers stand."""

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

    def _split_generators(self, dl_manager):
        del dl_manager  # The speeches arrive with this package.
        return {split: self._generate_examples(split) for split in SIZES}

    def _generate_examples(self, split: str):
        titles = {s.name: f"{s.president}, {s.year}" for s in sotu.speeches(split)}
        for name, cloze in drawn(split).items():
            yield (
                name,
                {
                    "id": name,
                    "title": titles[name.split("-")[0]],
                    "context": cloze.context,
                    "question": cloze.question,
                    "answers": [{"text": cloze.answer, "answer_start": cloze.start}],
                },
            )
