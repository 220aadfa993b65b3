"""CIDEr-D, by hand and against its formula in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.tasks.image_captioning.cider import cider, document_frequencies, words

TRAINING = [
    ("a dog runs", "the dog runs fast"),
    ("a cat sleeps", "one cat"),
    ("a dog and a cat", "two animals"),
    ("a red ball", "the ball"),
]
FREQUENCIES = document_frequencies(TRAINING)


def by_formula(caption: str, references: list[str]) -> float:
    """The formula of the paper's section 6, over arrays of all n-grams."""

    def grams(text: str, n: int) -> list[tuple[str, ...]]:
        found = text.split()
        return [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]

    total = 0.0
    for n in (1, 2, 3, 4):
        every = sorted({gram for text in [caption, *references] for gram in grams(text, n)})
        images = [{gram for text in own for gram in grams(text, n)} for own in TRAINING]
        df = np.array([sum(gram in image for image in images) for gram in every])
        idf = np.log(len(TRAINING)) - np.log(np.maximum(df, 1.0))

        def vector(text: str, n: int = n, every=every, idf=idf) -> np.ndarray:
            return np.array([grams(text, n).count(gram) for gram in every], float) * idf

        for reference in references:
            c, s = vector(caption), vector(reference)
            lengths = np.linalg.norm(c) * np.linalg.norm(s)
            gap = len(caption.split()) - len(reference.split())
            if lengths:
                total += (
                    math.exp(-(gap**2) / (2 * 6**2)) * np.dot(np.minimum(c, s), s) / lengths
                ) / (4 * len(references))
    return 10 * total


@pytest.mark.parametrize(
    ("caption", "references"),
    [
        ("a dog runs", ["a dog runs fast today", "the dog"]),
        ("the dog the dog the dog", ["the dog runs"]),  # Clipped: repetition earns nothing.
        ("a red cat and a ball", ["a red ball", "a cat and a ball", "one cat"]),
        ("nothing of it", ["a red ball"]),
    ],
)
def test_it_is_the_formula_of_the_paper(caption, references):
    found = cider(caption, tuple(references), FREQUENCIES)
    assert found == pytest.approx(by_formula(caption, references), abs=1e-12)


def test_by_hand():
    # Each word is in one image of four, so all weights are log 4, which cancels.
    four = document_frequencies([("red",), ("cat",), ("x",), ("y",)])
    # Vectors of unigrams: (red, cat) and (red, x); cosine 1/2. Bigrams differ. Lengths are equal.
    assert cider("red cat", ("red x",), four) == pytest.approx(10 * 0.5 / 4)
    # Two more words than the reference: exp(-4 / 72), and a norm of sqrt(3).
    longer = 10 * math.exp(-4 / 72) / math.sqrt(3) / 4
    assert cider("red cat y", ("red",), four) == pytest.approx(longer)


def test_the_reference_itself_has_10_and_nothing_in_common_0():
    assert cider("the dog runs fast", ("the dog runs fast",), FREQUENCIES) == pytest.approx(10)
    assert cider("The dog runs fast.", ("the dog runs fast",), FREQUENCIES) == pytest.approx(10)
    assert cider("blue", ("the dog runs fast",), FREQUENCIES) == 0
    assert cider("", ("the dog runs fast",), FREQUENCIES) == 0


def test_what_every_image_has_counts_nothing():
    same = document_frequencies([("a dog",), ("a cat",)])
    assert same.weight(("a",)) == 0
    assert cider("a bird", ("a dog",), same) == 0


def test_words_are_lower_case_and_without_marks():
    assert words("A man's 7 – Größe, “two”  3s.") == ["a", "man's", "7", "größe", "two", "3s"]
