"""The data set of a run, in three fixed splits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.datasets.in_memory import Gathered
from pipelines.datasets.splitting import SPLITS
from pipelines.datasets.text_columns import PackedTexts, PackedValues
from pipelines.datasets.untuned import untuned

# Examples whose lengths are read at once.
_ROWS = 4096


@dataclass(frozen=True)
class Content:
    """An example as its user knows it, to be looked at before training.

    Attributes:
        value: The input: texts, bytes or arrays, or a sequence or mapping of them.
        label: Name of its class; None where examples have no single class.
        parts: The classes of its parts, where these have some: one name for each span, or for each
            class that occurs in a mask.
        size: Its size, as (words,), or (height, width).
        unit: What the size counts, as "words" or "pixels"; "" for nothing worth knowing.
        image: The input if it is an image, uint8 [height, width, channels].
    """

    value: Any
    label: str | None = None
    parts: tuple[str, ...] = ()
    size: tuple[int, ...] = ()
    unit: str = ""
    image: np.ndarray | None = None


def length(*example: Any) -> tf.Tensor:
    """Returns the longest first dimension among the parts of an example, int32."""
    parts = [part for part in tf.nest.flatten(example) if part.shape.rank]
    return tf.reduce_max(tf.stack([tf.shape(part)[0] for part in parts]))


def _lengths(*example: Any) -> tf.Tensor:
    """Returns the first dimension of each part of an example, int64 [parts]; 0 for scalars."""
    none = tf.constant(0, tf.int64)
    parts = tf.nest.flatten(example)
    return tf.stack([tf.shape(x, tf.int64)[0] if x.shape.rank else none for x in parts])


def contents_of_texts(
    columns: Sequence[PackedTexts | PackedValues],
    labels: Iterable[str] | None = None,
    parts: Iterable[tuple[str, ...]] | None = None,
) -> Iterator[Content]:
    """Yields texts as contents, whose size is the number of words in each column.

    Args:
        columns: str, bytes or tuples of words, each [examples].
        labels: The class of each example.
        parts: The classes of the parts of each example.
    """
    names, own_parts = labels or repeat(""), parts or repeat(())
    for texts, name, own in zip(zip(*columns, strict=True), names, own_parts, strict=False):
        words = [len(text if isinstance(text, tuple) else text.split()) for text in texts]
        yield Content(texts, name or None, own, tuple(words), "words")


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A data set in three fixed splits of examples; a task's own adds what it learned from them.

    An example is (input, target) or (input, target, weight), as Keras' `fit` takes them in
    batches. Where a dimension is unknown, batches are padded with zeros.

    Attributes:
        name: Name of the data set, of characters that MLflow's model registry takes.
        version: Version of the data set.
        digest: Fingerprint of the data, 12 hexadecimal digits.
        sizes: Number of examples in each split.
        train: Examples, unbatched, as in the other splits.
        validation: What model selection uses.
        test: What is reported, once.
        columns: By split, columns [examples, ...] that scores and figures need and the network
            does not: arrays, or of many texts or other values `text_columns.Rows`.
        example_bytes: Size of one example in memory, roughly; 0 where examples are in memory
            already, None where every epoch draws others.
        gathered: The training examples, where they are in memory already, or what they are made of.
        notes: What was found in the user's own files and is worth knowing, in sentences.
        left_out: By split, the number of files or rows that are left out.
        license: Its license, as its builder states it; "" where it does not.
        homepage: Where it comes from.
    """

    name: str
    version: str
    digest: str
    sizes: Mapping[str, int]
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    example_bytes: int | None = 0
    gathered: Gathered | None = None
    notes: Sequence[str] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    license: str = ""
    homepage: str = ""

    def __post_init__(self) -> None:
        for split in SPLITS:
            object.__setattr__(self, split, untuned(self.split(split)))

    def split(self, name: str) -> tf.data.Dataset:
        """Returns the examples of "train", "validation" or "test"."""
        if name not in SPLITS:
            raise ValueError(f"a split is one of {', '.join(SPLITS)}, not {name!r}")
        return getattr(self, name)

    @cached_property
    def lengths(self) -> np.ndarray | None:
        """The longest first dimension of each training example, int64; None if no length varies."""
        if all(None not in spec.shape for spec in tf.nest.flatten(self.train.element_spec)):
            return None
        if self.gathered:
            return self.gathered.lengths
        found = self.train.map(length, num_parallel_calls=tf.data.AUTOTUNE)
        return np.fromiter(found.as_numpy_iterator(), np.int64)

    @cached_property
    def longest(self) -> Sequence[int]:
        """The longest first dimension of each part of training examples; 0 for scalars."""
        found = self.train.map(_lengths, num_parallel_calls=tf.data.AUTOTUNE).batch(_ROWS)
        return np.max([rows.max(0) for rows in found.as_numpy_iterator()], axis=0).tolist()

    def epoch(self, number: Any) -> tf.data.Dataset:
        """Returns the training examples of an epoch, int64 [] from 0 on; by default, `train`.

        A data set whose `example_bytes` is None may draw other ones in every epoch, as many, with
        lengths that need the same number of batches; the same ones for the same number.
        """
        return self.train

    def contents(self, split: str) -> Iterator[Content] | None:
        """Returns what there is to check of each example; none where examples overlap.

        By default, the tensors of the inputs.
        """
        return (Content(inputs) for inputs, *_ in self.split(split).as_numpy_iterator())

    def raw(self, split: str) -> dict[str, Any]:
        """Returns the columns of a split; none where there are none."""
        return dict(self.columns.get(split, {}))
