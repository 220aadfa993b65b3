"""Predictions of a split, what scores need of them, and a sample of them to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from sys import getsizeof

import numpy as np

from pipelines.datasets.stored import Stored

Scores = dict[str, float]

_MAX_BYTES = 64 << 20
# Roughly, of a tuple and what is in it.
_OBJECT_BYTES = 128


@dataclass(frozen=True)
class Predictions:
    """Examples of a split, in its order, with what a model or a baseline predicts for them.

    Attributes:
        examples: Arrays [examples, ...] by name: "target", or the targets' own names; "weight"
            where some positions are padding; and the raw columns of the data set. A raw column
            "block", int [examples], numbers the examples that belong together.
        predicted: Arrays [examples, ...] by name, as in a served model's response.
        statistics: Arrays of numbers [examples, ...] by name, of which scores need the sum over
            examples alone. Rows of these may stand for several examples, so that `len` counts the
            rows of the other arrays, where there are some.
    """

    examples: Mapping[str, np.ndarray]
    predicted: Mapping[str, np.ndarray]
    statistics: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        columns = (*self.examples.values(), *self.predicted.values(), *self.statistics.values())
        return len(columns[0])

    @property
    def rows(self) -> np.ndarray:
        """Numbers of the examples in their split, int [examples]; in a sample some are left out."""
        return self.examples.get("row", np.arange(len(self)))

    def take(self, indices: np.ndarray) -> Predictions:
        """Returns the predictions at `indices`, int [n], which may repeat."""
        groups = (self.examples, self.predicted, self.statistics)
        return Predictions(
            *({name: column[indices] for name, column in group.items()} for group in groups)
        )

    def reduced(
        self,
        statistics: Mapping[str, np.ndarray],
        predicted: Mapping[str, np.ndarray] | None = None,
    ) -> Predictions:
        """Returns the same examples with nothing but their statistics, and the blocks they form.

        Args:
            statistics: Arrays of numbers [examples, ...] by name, see the class; one more,
                "examples", is 1 for each example.
            predicted: Arrays [examples, ...] by name which scores need of each example, if any.
        """
        counted = {"examples": np.ones(len(self)), **statistics}
        blocks = {name: column for name, column in self.examples.items() if name == "block"}
        return Predictions(
            blocks,
            predicted or {},
            {name: np.asarray(column, np.float64) for name, column in counted.items()},
        )

    def total(self, name: str) -> np.ndarray:
        """Returns the sum over examples of a statistic, float64 [...]."""
        return self.statistics[name].sum(0)

    def mean(self, name: str) -> float:
        """Returns the mean over examples of a statistic that is one number for each."""
        return float(self.total(name) / self.total("examples"))

    def write(self, folder: Path) -> None:
        """Writes the numbers of examples and predictions as `folder`/test.npz, where they fit.

        Columns of the examples are `examples.NAME`, of predictions `predicted.NAME`. Texts are left
        out, and so is what is larger than 64 MiB together with the smaller columns before it;
        `left_out.txt` has the names.
        """
        folder.mkdir()
        groups = {"examples": self.examples, "predicted": self.predicted}
        columns = {
            f"{group}.{name}": column
            for group, found in groups.items()
            for name, column in found.items()
        }
        kept: dict[str, np.ndarray] = {}
        for name, column in sorted(columns.items(), key=lambda each: each[1].nbytes):
            size = sum(each.nbytes for each in kept.values()) + column.nbytes
            if column.dtype.kind in "biuf" and size <= _MAX_BYTES:
                kept[name] = column
        np.savez_compressed(folder / "test.npz", **kept)  # type: ignore[arg-type]
        if left_out := sorted(columns.keys() - kept.keys()):
            (folder / "left_out.txt").write_text("".join(f"{name}\n" for name in left_out))


def collected(
    batches: Iterable[Predictions],
    reduce: Callable[[Predictions], Predictions],
    most: int = _MAX_BYTES,
) -> tuple[Predictions, Predictions]:
    """Reduces predictions batch by batch, so that those of a whole split are never in memory.

    Args:
        batches: Predictions of a split, in its order.
        reduce: From a batch to what scores need of it, as `Task.reduce`.
        most: Bytes that a sample may have, roughly.

    Returns:
        What `reduce` leaves of all examples; and a sample of the predictions as they are, for
        figures: all of them if they fit, else about a half, a quarter … of them. It has the numbers
        of its examples, from 0 on, as the column "row" of `examples`.
    """
    reduced = _Joined()
    sample: list[Predictions] = []
    done, halvings, size = 0, 0, 0
    for batch in batches:
        reduced.append(reduce(batch))
        row = np.arange(done, done + len(batch))
        done += len(batch)
        own = _halved(Predictions({**batch.examples, "row": row}, batch.predicted), halvings)
        if len(own):
            sample.append(own)
            size += _bytes(own)
        while size > most and halvings < 32:
            halvings += 1
            sample = [found for each in sample if len(found := _halved(each, halvings))]
            size = sum(map(_bytes, sample))
    return reduced.predictions(), joined(sample)


def _halved(sample: Predictions, times: int) -> Predictions:
    """Returns about a half of the examples, of these a half, and so on; always the first one.

    Multiples of the golden ratio, less their whole part, are spread evenly (Knuth, "The Art of
    Computer Programming", volume 3, section 6.4), so that no order of the split matters: every
    second example might be of a kind of its own. The same rows are chosen whatever the predictions.
    """
    if not times:
        return sample
    spread = sample.rows.astype(np.uint32) * np.uint32(2654435769)
    return sample.take(np.flatnonzero(spread >> np.uint32(32 - times) == 0))


def _bytes(predictions: Predictions) -> int:
    columns = (*predictions.examples.values(), *predictions.predicted.values())
    return sum(sum(map(_size, x.ravel())) if x.dtype == object else x.nbytes for x in columns)


def _size(value: object) -> int:
    return max(_OBJECT_BYTES, value.nbytes if isinstance(value, np.ndarray) else getsizeof(value))


def in_common(*samples: Predictions) -> list[Predictions]:
    """Returns of each sample the examples that all of them have."""
    finest = min(map(len, samples))
    rows = next(sample.rows for sample in samples if len(sample) == finest)
    return [sample.take(np.flatnonzero(np.isin(sample.rows, rows))) for sample in samples]


def joined(batches: Iterable[Predictions]) -> Predictions:
    """Returns batches as one, their columns joined as by `joined_columns`.

    Large columns of numbers whose rows have one shape are mapped files, see `stored`.
    """
    found = _Joined()
    for batch in batches:
        found.append(batch)
    return found.predictions()


class _Joined:
    """Batches that are joined as they come."""

    def __init__(self) -> None:
        self._groups: tuple[dict[str, _Column], ...] = ({}, {}, {})

    def append(self, batch: Predictions) -> None:
        parts = (batch.examples, batch.predicted, batch.statistics)
        for group, columns in zip(self._groups, parts, strict=True):
            for name, column in columns.items():
                group.setdefault(name, _Column(column)).append(column)

    def predictions(self) -> Predictions:
        return Predictions(
            *({name: column.joined() for name, column in group.items()} for group in self._groups)
        )


class _Column:
    """A column of batches: what has the shape of the first of them, and from another one on all."""

    def __init__(self, like: np.ndarray) -> None:
        self._shape, self._dtype = like.shape[1:], like.dtype
        self._first, self._others = Stored(self._dtype, self._shape), list[np.ndarray]()

    def append(self, part: np.ndarray) -> None:
        if not self._others and (part.shape[1:], part.dtype) == (self._shape, self._dtype):
            self._first.append(part)
        else:
            self._others.append(part)

    def joined(self) -> np.ndarray:
        first = self._first.column()
        return joined_columns([first, *self._others]) if self._others else first


def joined_columns(batches: Sequence[np.ndarray]) -> np.ndarray:
    """Joins batches along the first axis; the others are padded with zeros to the longest."""
    longest = np.max([batch.shape[1:] for batch in batches], axis=0).astype(int)
    padded = [
        np.pad(batch, [(0, 0), *((0, gap) for gap in gaps)])
        if (gaps := longest - batch.shape[1:]).any()
        else batch
        for batch in batches
    ]
    return np.concatenate(padded)
