"""The reference that a SavedModel carries: a summary of what its signatures were validated on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from drift.quantities import Values

FILE = "assets.extra/reference.json"
# Numbers that are kept of a quantity; more are thinned out to as many quantiles.
_MAX_NUMBERS = 512
# Strings are classes if there are at most so many, each several times.
_MAX_CLASSES, _MIN_REPEATS = 100, 4


@dataclass(frozen=True)
class Profile:
    """What the quantities of one signature were.

    Attributes:
        examples: The number of examples.
        numbers: By quantity, a sorted sample, float64 [at most 512].
        categories: By quantity, how often each category was there.
    """

    examples: int
    numbers: Mapping[str, np.ndarray] = field(default_factory=dict)
    categories: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """What a model was validated on.

    Attributes:
        profiles: By signature, its quantities.
        words: The frequent words of the training texts; none where there are no texts.
    """

    profiles: Mapping[str, Profile]
    words: Sequence[str] = ()


def joined(batches: Iterable[Values]) -> Values:
    """Joins batches; leaves out quantities that not all of them have."""
    every = list(batches)
    names = [name for name in every[0] if all(name in batch for batch in every)] if every else []
    return {name: np.concatenate([batch[name] for batch in every]) for name in names}


def profile(values: Values) -> Profile:
    """Summarizes quantities.

    Strings that repeat are classes, and their lengths and words are left out; of others, the
    strings are.
    """
    numbers: dict[str, np.ndarray] = {}
    categories: dict[str, dict[str, int]] = {}
    for name, column in values.items():
        if column.dtype == object:
            counts = Counter(column.tolist())
            if len(counts) <= min(_MAX_CLASSES, len(column) // _MIN_REPEATS):
                categories[name] = dict(counts)
    for name, column in values.items():
        of_classes = name.partition(": ")[0] in categories
        finite = np.sort(column[np.isfinite(column)]) if column.dtype != object else column[:0]
        if len(finite) and not of_classes:
            numbers[name] = _thinned(finite)
    return Profile(max(map(len, values.values()), default=0), numbers, categories)


def _thinned(numbers: np.ndarray) -> np.ndarray:
    if len(numbers) <= _MAX_NUMBERS:
        return numbers
    return numbers[np.linspace(0, len(numbers) - 1, _MAX_NUMBERS).round().astype(int)]


def write(folder: Path, reference: Reference) -> None:
    """Writes a reference into a SavedModel."""
    profiles = {
        signature: {
            "examples": found.examples,
            "numbers": {name: x.tolist() for name, x in found.numbers.items()},
            "categories": found.categories,
        }
        for signature, found in reference.profiles.items()
    }
    content = {"split": "validation", "signatures": profiles, "words": list(reference.words)}
    path = folder / FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


def read(folder: Path) -> Reference:
    """Reads the reference of a SavedModel.

    Raises:
        OSError: It cannot be read; FileNotFoundError where there is none.
        ValueError: It is damaged.
    """
    content = json.loads((folder / FILE).read_text(encoding="utf-8"))
    try:
        profiles = {
            signature: Profile(
                int(found["examples"]),
                {name: np.array(x, np.float64) for name, x in found["numbers"].items()},
                found["categories"],
            )
            for signature, found in content["signatures"].items()
        }
        return Reference(profiles, content["words"])
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"it is no reference: {error!r}") from error
