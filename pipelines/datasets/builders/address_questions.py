"""Questions about addresses in the United States, in the form of SQuAD.

The addresses and their splits are those of `us_addresses.py`, which states source and license. A
passage is one address, or two of them with a semicolon in between. A question asks for a part of
one address, as its street or ZIP code, and says in a passage of two which one is meant, by another
part of it:

    context:  17 N. Main St., Springfield, IL 62701; 2 Oak Rd Apt 3 Salem OR 97301
    question: Which street is the address in Salem on?
    answer:   Oak Rd

A part is the run of tokens with the labels of a kind of question (`KINDS`), without punctuation
around it. The labels are people's, the wordings are this file's. What says which address is meant
does not occur in the other one. An address with several such parts is not asked about them, and
addresses with a semicolon are left out.

Half of the questions of validation and test are in wordings that no training question has, made of
words that training questions do have. A training address is in three passages, others are in one;
of an address at most three parts are asked for in a training passage, and six in others:

| split      | questions | passages | with two addresses | in new wordings |
|------------|-----------|----------|--------------------|-----------------|
| train      | 8355      | 1748     | 1247               | 0               |
| validation | 848       | 134      | 88                 | 412             |
| test       | 926       | 134      | 89                 | 465             |

Limits: five wordings of a kind; the same cities and well-known streets are in several splits.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from pipelines.datasets.builders import Examples, us_addresses
from pipelines.datasets.builders.us_addresses import Address

# How often each address of a split is in a passage.
ROUNDS = {"train": 3, "validation": 1, "test": 1}
# How many of its parts are asked for in a passage.
PARTS = {"train": 3, "validation": 6, "test": 6}
SEPARATOR = "; "
# Around a part; others are of it, as in "# 207".
_MARKS = " ,;.()"


@dataclass(frozen=True)
class Kind:
    """A kind of question.

    Attributes:
        labels: A regular expression for the labels of the answer's tokens.
        known: Wordings of training questions, and of half of the others.
        new: Wordings of the other half.
        reference: How an address is told from others by this part of it, if that is natural.
    """

    labels: str
    known: Sequence[str]
    new: Sequence[str]
    reference: str = ""


KINDS = {
    "number": Kind(
        "AddressNumber.*",
        (
            "What is the house number of {it}?",
            "Which number does {it} have?",
            "At which number is {it}?",
        ),
        ("Which house number is that of {it}?", "Tell me the number of {it}."),
        "with the number {}",
    ),
    "street": Kind(
        "StreetName.*",
        (
            "Which street is {it} on?",
            "What is the name of the street of {it}?",
            "On which road is {it}?",
        ),
        ("On which street is {it}?", "Tell me the road of {it}."),
        "on {}",
    ),
    "unit": Kind(
        "Occupancy.*",
        (
            "Which apartment or suite is {it} in?",
            "What is the unit of {it}?",
            "In which suite is {it}?",
        ),
        ("In which unit is {it}?", "Tell me the apartment or suite of {it}."),
    ),
    "box": Kind(
        "USPSBox(Type|ID)",
        (
            "What is the post office box of {it}?",
            "Which box does {it} have?",
            "Which is the PO box that letters to {it} go to?",
        ),
        ("Which post office box is that of {it}?", "Tell me the box of {it}."),
    ),
    "building": Kind(
        "BuildingName",
        (
            "Which building is {it} in?",
            "What is the name of the building of {it}?",
            "In which house is {it}?",
        ),
        ("In which building is {it}?", "Tell me the name of the building of {it}."),
    ),
    "recipient": Kind(
        "Recipient",
        (
            "Who is the recipient of {it}?",
            "Which name do letters to {it} have?",
            "Tell me who gets the letters of {it}.",
        ),
        ("Who gets letters to {it}?", "Which recipient is that of {it}?"),
    ),
    "city": Kind(
        "PlaceName",
        (
            "Which city is {it} in?",
            "What is the name of the city of {it}?",
            "In which town is {it}?",
        ),
        ("In which city is {it}?", "Tell me the town of {it}."),
        "in {}",
    ),
    "state": Kind(
        "StateName",
        (
            "Which state is {it} in?",
            "What is the state of {it}?",
            "In which state is the city of {it}?",
        ),
        ("In which state is {it}?", "Tell me the state of the town of {it}."),
        "in {}",
    ),
    "code": Kind(
        "ZipCode",
        (
            "What is the ZIP code of {it}?",
            "Which postal code does {it} have?",
            "Which code does the city of {it} have?",
        ),
        ("Which ZIP code is that of {it}?", "Tell me the postal code of {it}."),
        "with the ZIP code {}",
    ),
}


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        context: The passage.
        question: Its text.
        answer: A part of the passage.
        start: Offset of the answer in the passage, in characters.
        kind: The name of its kind.
        new: Whether no training question has its wording.
    """

    context: str
    question: str
    answer: str
    start: int
    kind: str
    new: bool


def parts(address: Address) -> dict[str, tuple[str, int]]:
    """Returns by kind the part of an address, and its offset in the address in characters."""
    starts = [0, *itertools.accumulate(len(token) + 1 for token, _ in address)]
    found = {}
    for name, kind in KINDS.items():
        fits = [re.fullmatch(kind.labels, label) is not None for _, label in address]
        runs = [[i for i, _ in run] for fit, run in itertools.groupby(enumerate(fits), _fit) if fit]
        if len(runs) == 1:
            first, last = runs[0][0], runs[0][-1]
            text = " ".join(token for token, _ in address[first : last + 1])
            bare = text.strip(_MARKS)
            if bare:
                found[name] = bare, starts[first] + text.index(bare)
    return found


def _fit(pair: tuple[int, bool]) -> bool:
    return pair[1]


def questions(addresses: Sequence[Address], split: str) -> list[Question]:
    """Returns questions about the addresses of a split, those about one passage in sequence."""
    mark = SEPARATOR.strip()
    addresses = [one for one in addresses if not any(mark in token for token, _ in one)]
    random = np.random.default_rng([len(split), len(addresses)])
    found: dict[tuple[str, str], Question] = {}
    for _ in range(ROUNDS[split]):
        order, left = random.permutation(len(addresses)).tolist(), 0
        sizes = itertools.cycle((1, 2, 2))
        while left < len(order):
            chosen = [addresses[index] for index in order[left : left + next(sizes)]]
            left += len(chosen)
            for question in _about(chosen, split, random):
                found.setdefault((question.context, question.question), question)
    return list(found.values())


def _about(
    addresses: Sequence[Address], split: str, random: np.random.Generator
) -> Iterator[Question]:
    """Yields the questions about one passage."""
    texts = [" ".join(token for token, _ in address) for address in addresses]
    context = SEPARATOR.join(texts)
    for number, address in enumerate(addresses):
        own = parts(address)
        others = [text for other, text in enumerate(texts) if other != number]
        offset = sum(len(text) + len(SEPARATOR) for text in texts[:number])
        for name in random.permutation(sorted(own))[: PARTS[split]].tolist():
            it = _reference(own, name, others, random)
            if it is None:
                continue
            new = split != "train" and bool(random.integers(2))
            wordings = KINDS[name].new if new else KINDS[name].known
            answer, start = own[name]
            question = wordings[int(random.integers(len(wordings)))].format(it=it)
            yield Question(context, question, answer, offset + start, name, new)


def _reference(
    own: Mapping[str, tuple[str, int]],
    asked: str,
    others: Sequence[str],
    random: np.random.Generator,
) -> str | None:
    """Returns words for an address, by a part of it where there are others; None if that fails."""
    noun = ("the address", "the place")[random.integers(2)]
    if not others:
        return ("it", noun)[random.integers(2)]
    telling = [
        KINDS[name].reference.format(text)
        for name, (text, _) in own.items()
        if name != asked and KINDS[name].reference and not _occurs(text, others)
    ]
    return f"{noun} {telling[random.integers(len(telling))]}" if telling else None


def _occurs(text: str, others: Sequence[str]) -> bool:
    """Returns whether all words of a text occur in one of the others."""
    words = set(re.findall(r"\w+", text.lower()))
    return any(words <= set(re.findall(r"\w+", other.lower())) for other in others)


class AddressQuestions(tfds.core.GeneratorBasedBuilder):
    """Addresses, questions about their parts, and answers with their offsets."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Split by address; half of the questions in new wordings."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Questions about parts of addresses in the United States.",
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "kind": tfds.features.ClassLabel(names=list(KINDS)),
                    "new_wording": np.bool_,
                    "context": tfds.features.Text(),
                    "question": tfds.features.Text(),
                    "answers": tfds.features.Sequence(
                        {"text": tfds.features.Text(), "answer_start": np.int32}
                    ),
                }
            ),
            homepage="https://github.com/datamade/usaddress",
            citation="The Atlanta Journal Constitution and DataMade. usaddress. 2014.",
            license="MIT",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # Nothing is downloaded.
        splits = us_addresses.addresses()
        return {split: self._generate_examples(found, split) for split, found in splits.items()}

    def _generate_examples(self, addresses: list[Address], split: str) -> Examples:
        for number, found in enumerate(questions(addresses, split)):
            yield (
                number,
                {
                    "id": f"{split}-{number}",
                    "kind": found.kind,
                    "new_wording": found.new,
                    "context": found.context,
                    "question": found.question,
                    "answers": [{"text": found.answer, "answer_start": found.start}],
                },
            )
