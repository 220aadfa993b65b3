"""The checks of a data set: each count on examples whose duplicates and sizes are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipelines.datasets import checks
from pipelines.datasets.dataset import SPLITS, Content, Dataset

NOTHING = tf.data.Dataset.from_tensor_slices(np.zeros((0, 1)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Given(Dataset):
    """A data set whose contents are given."""

    given: Mapping[str, Sequence[Content]]

    def contents(self, split: str) -> Iterator[Content] | None:
        return iter(self.given[split])


def checked(
    train: Sequence[Content], validation: Sequence[Content], test: Sequence[Content], **more: Any
) -> tuple[dict[str, tuple[str, str, str]], str]:
    """Returns the rows by name, and the notes as one text."""
    given = dict(zip(SPLITS, (train, validation, test), strict=True))
    found = checks.check(
        Given(
            name="given",
            version="1.0.0",
            digest="0" * 12,
            sizes={split: len(own) for split, own in given.items()},
            **dict.fromkeys(SPLITS, NOTHING),
            **more,
            given=given,
        )
    )
    return dict(found.rows), "\n".join(found.notes)


def texts(words: str, labels: str = "") -> list[Content]:
    """Returns a text for each word, with its label."""
    own: Sequence[str | None] = labels.split() or [None] * len(words.split())
    return [
        Content((word,), label, (), (len(word),), "letters")
        for word, label in zip(words.split(), own, strict=True)
    ]


def picture(seed: int, size: int = 64) -> np.ndarray:
    """Returns smooth noise, uint8 [size, size, 3]."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC))


def images(*pictures: np.ndarray) -> list[Content]:
    return [Content(image, "a", (), image.shape[:2], "pixels", image) for image in pictures]


def test_examples_and_classes_are_counted():
    rows, notes = checked(
        texts("a b c", "x x y"), texts("d e", "y x"), texts("f g", "x y"), left_out={"test": 2}
    )
    assert rows["examples"] == ("3", "2", "2")
    assert rows["left out"] == ("0", "0", "2 (50.0%)")
    assert rows["class x"] == ("2", "1", "1")
    assert rows["class y"] == ("1", "1", "1")
    assert notes == "train has one example of the class 'y'"


def test_classes_of_parts_are_counted():
    one, two = Content("a", parts=("PER", "PER", "LOC")), Content("b", parts=("PER",))
    rows, _ = checked([one], [two], [two])
    assert rows["class PER"] == ("2", "1", "1")
    assert rows["class LOC"] == ("1", "0", "0")


def test_of_many_classes_the_largest_and_smallest_are_shown():
    labels = " ".join(f"{i:02d}" for i in range(30)) + " 00 00 01"
    words = " ".join(f"w{i}" for i in range(33))
    own = texts(words, labels)
    rows, notes = checked(own, own, own)
    assert rows["class 00"] == ("3", "3", "3")
    assert sum(name.startswith("class ") for name in rows) == 6
    assert "of 30 classes, the three largest and smallest are shown" in notes


def test_duplicates_and_leakage_are_told_apart():
    rows, notes = checked(texts("a b a a"), texts("c c"), texts("a c d"))
    assert rows["duplicates"] == ("2", "1", "0")
    assert rows["also in an earlier split"] == ("0", "0", "2")
    assert "2 of the 3 examples of test are in an earlier split too" in notes


def test_one_input_with_two_labels_is_a_conflict():
    _, notes = checked(texts("a b", "x y"), texts("a b", "y y"), texts("c d", "x y"))
    assert "1 of the inputs have more than one label: 'a' is 'x' in train and 'a' is 'y'" in notes


def test_imbalance_and_missing_classes_are_named():
    many = " ".join(f"m{i}" for i in range(21))
    train = texts(f"{many} a b", "x " * 21 + "y y")
    _, notes = checked(train, texts("p q", "x y"), texts("r s", "x x"))
    assert "train has 21 examples of 'x' and 2 of 'y'" in notes
    assert "test has no example of the class 'y'" in notes


def test_sizes_have_a_middle_and_a_range():
    rows, _ = checked(texts("a bb ccc"), texts("dd"), texts("e ffffffff"))
    assert rows["median letters"] == ("2", "2", "4")
    assert rows["range of letters"] == ("1 to 3", "2 to 2", "1 to 8")


@pytest.mark.parametrize("change", ["scaled", "recompressed", "brighter"])
def test_copies_of_an_image_that_are_not_equal_are_found(change, tmp_path):
    original = picture(0)
    if change == "scaled":
        copy = np.asarray(Image.fromarray(original).resize((48, 48), Image.Resampling.BICUBIC))
    elif change == "recompressed":
        Image.fromarray(original).save(tmp_path / "copy.jpg", quality=60)
        copy = np.asarray(Image.open(tmp_path / "copy.jpg"))
    else:
        copy = np.minimum(original.astype(int) + 2, 255).astype(np.uint8)
    rows, notes = checked(
        images(picture(1), original), images(picture(2)), images(picture(3), copy)
    )
    assert rows["nearly in an earlier split"] == ("", "0", "1")
    assert rows["also in an earlier split"] == ("0", "0", "0")
    assert "1 images of test are nearly those of an earlier split" in notes


def test_equal_images_are_duplicates_and_not_nearly_so():
    rows, _ = checked(images(picture(0)), images(picture(1)), images(picture(0)))
    assert rows["also in an earlier split"] == ("0", "0", "1")
    assert rows["nearly in an earlier split"] == ("", "0", "0")


def test_near_copies_within_a_split_are_counted_without_equal_ones():
    original = picture(0)
    brighter = np.minimum(original.astype(int) + 2, 255).astype(np.uint8)
    rows, _ = checked(
        images(original, picture(1), brighter, original), images(picture(2)), images(picture(3))
    )
    assert rows["duplicates"] == ("1", "0", "0")
    assert rows["near copies"] == ("1", "0", "0")


def test_different_images_are_not_nearly_the_same():
    every = [images(*(picture(seed) for seed in range(first, first + 40))) for first in (0, 40, 80)]
    rows, _ = checked(*every)
    assert rows["nearly in an earlier split"] == ("", "0", "0")


def test_examples_that_overlap_are_only_counted():
    class Overlapping(Dataset):
        def contents(self, split: str) -> None:
            return None

    data = Overlapping(
        name="series",
        version="1.0.0",
        digest="0" * 12,
        sizes={"train": 5, "validation": 1, "test": 1},
        **dict.fromkeys(SPLITS, NOTHING),
        notes=["3 steps are interpolated"],
    )
    found = checks.check(data)
    assert found.rows == [("examples", ("5", "1", "1"))]
    assert found.notes == ["3 steps are interpolated"]


def test_the_inputs_of_any_data_set_are_compared():
    def split(*numbers: int) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(
            ({"x": np.array(numbers)}, np.zeros(len(numbers)))
        )

    data = Dataset(
        name="numbers",
        version="1.0.0",
        digest="0" * 12,
        sizes={"train": 3, "validation": 1, "test": 1},
        train=split(1, 2, 1),
        validation=split(3),
        test=split(2),
    )
    rows = dict(checks.check(data).rows)
    assert rows["duplicates"] == ("1", "0", "0")
    assert rows["also in an earlier split"] == ("0", "0", "1")


def test_long_splits_are_checked_in_part(monkeypatch):
    monkeypatch.setattr(checks, "_MAX_EXAMPLES", 2)
    rows, notes = checked(texts("a b a a"), texts("c"), texts("d"))
    assert rows["examples"] == ("4", "1", "1")
    assert rows["duplicates"] == ("0", "0", "0")
    assert "of train, the first 2 examples were checked" in notes


VALUES = st.recursive(
    st.text() | st.binary() | st.integers(),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@given(VALUES, VALUES)
def test_keys_are_equal_if_and_only_if_values_are(one, two):
    encoded = repr(one) == repr(two) or one == two
    # bytes and str of the same characters count as the same.
    if not encoded:
        assert checks._key([one, "end"]) != checks._key([two, "end"]) or _plain(one) == _plain(two)
    assert checks._key(one) == checks._key(one)


def _plain(value: object) -> object:
    """Returns a value in which str is bytes, and a mapping its pairs in order."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict):
        return tuple(_plain(one) for name in sorted(value) for one in (name, value[name]))
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value


def test_markdown_shows_the_table_and_the_notes():
    found = checks.Checks([("class a|b", ("1", "2", "3"))], ["all is\nwell"])
    assert found.markdown() == (
        "| | train | validation | test |\n|---|---|---|---|\n"
        "| class a\\|b | 1 | 2 | 3 |\n\n- all is well\n"
    )
