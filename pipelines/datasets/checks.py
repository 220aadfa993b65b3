"""What a careful person looks at before training: counts, duplicates, leakage, sizes.

Duplicates are examples with the same input; near copies are images that look alike.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from pipelines.datasets import near_copies
from pipelines.datasets.dataset import SPLITS, Content, Dataset

# Examples of a split that are looked at; images are decoded for it.
_MAX_EXAMPLES = 20_000
# Classes that the table shows one by one.
_MAX_CLASSES = 20
_IMBALANCE = 10.0
_SHOWN = 60  # Characters of a text that a note shows.


@dataclass(frozen=True)
class Checks:
    """What the checks of a data set found.

    Attributes:
        rows: What was counted, and for each of `SPLITS` what was found.
        notes: What is worth knowing, in sentences.
    """

    rows: Sequence[tuple[str, tuple[str, str, str]]]
    notes: Sequence[str]

    def markdown(self) -> str:
        """Returns the table and the notes in Markdown."""
        lines = [f"| | {' | '.join(SPLITS)} |", "|---|" + "---|" * len(SPLITS)]
        lines += [f"| {_escaped(name)} | {' | '.join(values)} |" for name, values in self.rows]
        return "\n".join([*lines, "", *(f"- {_escaped(note)}" for note in self.notes), ""])


@dataclass(frozen=True)
class _Seen:
    """What was seen of a split's examples.

    Attributes:
        keys: Hash of each input.
        shown: The start of each input if it is a text.
        labels: Class of each example; empty without classes.
        parts: How often each class occurs among the parts of examples.
        sizes: int [examples, numbers], as words, or height and width.
        unit: What the sizes count.
        hashes: uint64 [images], difference hashes.
        thumbnails: uint8 [images, 256], gray levels.
    """

    keys: list[bytes]
    shown: list[str]
    labels: list[str]
    parts: Counter[str]
    sizes: np.ndarray
    unit: str
    hashes: np.ndarray
    thumbnails: np.ndarray


def check(data: Dataset) -> Checks:
    """Returns what is worth knowing about a data set, its own notes among it."""
    rows = [("examples", _by_split(data.sizes))]
    notes = list(data.notes)
    if any(data.left_out.values()):
        shares = {
            split: f"{count} ({count / (count + data.sizes[split]):.1%})"
            for split, count in data.left_out.items()
        }
        rows.append(("left out", _by_split(shares, "0")))
    seen = {}
    for split in SPLITS:
        contents = data.contents(split)
        if contents is None:
            return Checks(rows, notes)
        seen[split] = _look(islice(contents, _MAX_EXAMPLES))
    if partial := [split for split in SPLITS if data.sizes[split] > len(seen[split].keys)]:
        notes.append(
            f"of {' and '.join(partial)}, the first {_MAX_EXAMPLES:,} examples were checked"
        )
    for more_rows, more_notes in (_classes(seen), _copies(seen), _near_copies(seen)):
        rows += more_rows
        notes += more_notes
    return Checks(rows + _sizes(seen), notes)


def _look(contents: Iterable[Content]) -> _Seen:
    keys, shown, labels, sizes, hashes, thumbnails = [], [], [], [], [], []
    parts, unit = Counter[str](), ""
    for content in contents:
        keys.append(_key(content.value))
        shown.append(_start(content.value))
        sizes.append(content.size)
        unit = content.unit
        parts.update(content.parts)
        if content.label is not None:
            labels.append(content.label)
        if content.image is not None:
            fingerprint, thumbnail = near_copies.fingerprint(content.image)
            hashes.append(fingerprint)
            thumbnails.append(thumbnail)
    return _Seen(
        keys,
        shown,
        labels,
        parts,
        np.array(sizes, int).reshape(len(sizes), len(sizes[0]) if sizes else 0),
        unit,
        np.array(hashes, np.uint64),
        np.array(thumbnails, np.uint8).reshape(len(thumbnails), 256),
    )


def _start(value: Any) -> str:
    """Returns the start of a text, or of the first of several."""
    while isinstance(value, tuple) and value:
        value = value[0]
    return repr(value[:_SHOWN]) if isinstance(value, str) else ""


def _key(value: Any) -> bytes:
    """Returns a hash of texts, bytes, arrays, and sequences and mappings of them."""
    sha = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, Mapping):
            add([one for name in sorted(part) for one in (name, part[name])])
        elif isinstance(part, np.ndarray) and part.dtype != object:
            sha.update(f"{part.shape}{part.dtype}".encode() + part.tobytes())
        elif isinstance(part, (str, bytes)):
            raw = part.encode() if isinstance(part, str) else part
            sha.update(f"{len(raw)}:".encode() + raw)
        elif isinstance(part, Sequence | np.ndarray):
            sha.update(f"[{len(part)}]".encode())
            for one in part:
                add(one)
        else:
            sha.update(repr(part).encode())

    add(value)
    return sha.digest()


def _classes(seen: Mapping[str, _Seen]) -> tuple[list[tuple[str, tuple]], list[str]]:
    """Returns the number of examples of each class, and notes on imbalance."""
    counts = {split: Counter(own.labels) + own.parts for split, own in seen.items()}
    total = sum(counts.values(), Counter())
    if not total:
        return [], []
    ordered = total.most_common()
    shown = ordered if len(ordered) <= _MAX_CLASSES else [*ordered[:3], *ordered[-3:]]
    names = [name for name, _ in shown]
    if len(ordered) <= _MAX_CLASSES:
        names.sort()
    rows = [(f"class {n}", _by_split({s: own[n] for s, own in counts.items()})) for n in names]
    notes = []
    if len(ordered) > _MAX_CLASSES:
        notes.append(f"of {len(ordered)} classes, the three largest and smallest are shown")
    train = counts["train"]
    (most, many), (least, few) = max(train.items(), key=_count), min(train.items(), key=_count)
    if many > _IMBALANCE * few:
        notes.append(
            f"classes are imbalanced: train has {many} examples of {most!r} and {few} of {least!r}"
        )
    for split in SPLITS[1:]:
        if lacking := [name for name in train if name not in counts[split]]:
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            notes.append(
                f"{split} has no example of the class {lacking[0]!r}{more}: "
                "its scores say nothing about it"
            )
    if single := [name for name, count in train.items() if count == 1]:
        more = f" (and {len(single) - 1} more such classes)" if len(single) > 1 else ""
        notes.append(f"train has one example of the class {single[0]!r}{more}")
    return rows, notes


def _count(item: tuple[str, int]) -> int:
    return item[1]


def _copies(seen: Mapping[str, _Seen]) -> tuple[list[tuple[str, tuple]], list[str]]:
    """Returns the number of duplicates within a split and of examples in an earlier one."""
    within = {split: len(own.keys) - len(set(own.keys)) for split, own in seen.items()}
    rows = [("duplicates", _by_split(within))]
    earlier: set[bytes] = set()
    leaked = {}
    for split, own in seen.items():
        leaked[split] = sum(key in earlier for key in own.keys)
        earlier.update(own.keys)
    rows.append(("also in an earlier split", _by_split(leaked)))
    notes = [
        f"{leaked[split]} of the {len(seen[split].keys)} examples of {split} are in an earlier "
        "split too: scores on them show memory, not generalization"
        for split in SPLITS[1:]
        if leaked[split]
    ]
    labels = defaultdict[bytes, dict[str, str]](dict)
    for split, own in seen.items():
        for key, shown, label in zip(own.keys, own.shown, own.labels, strict=False):
            labels[key].setdefault(label, f"{shown} is {label!r} in {split}".removeprefix(" is "))
    if conflicts := [list(places.values()) for places in labels.values() if len(places) > 1]:
        notes.append(
            f"{len(conflicts):,} of the inputs have more than one label: "
            f"{' and '.join(conflicts[0][:2])}"
        )
    return rows, notes


def _near_copies(seen: Mapping[str, _Seen]) -> tuple[list[tuple[str, tuple]], list[str]]:
    """Returns the numbers of images that are nearly, and not exactly, like an earlier one."""
    if not any(len(own.hashes) for own in seen.values()):
        return [], []
    within, across = dict[str, int](), dict[str, Any]()
    for index, split in enumerate(SPLITS):
        own, before = seen[split], [seen[name] for name in SPLITS[:index]]
        first = {key: row for row, key in reversed(list(enumerate(own.keys)))}
        new = np.array([first[key] == row for row, key in enumerate(own.keys)], bool)
        found = near_copies.of_earlier(own.hashes, own.thumbnails)
        within[split] = int((found & new).sum())
        known = {key for one in before for key in one.keys}
        new = np.array([key not in known for key in own.keys], bool)
        found = near_copies.of_others(
            own.hashes,
            own.thumbnails,
            np.concatenate([own.hashes[:0], *(one.hashes for one in before)]),
            np.concatenate([own.thumbnails[:0], *(one.thumbnails for one in before)]),
        )
        across[split] = int((found & new).sum())
    notes = [
        f"{across[split]} images of {split} are nearly those of an earlier split"
        for split in SPLITS[1:]
        if across[split]
    ]
    rows = [
        ("near copies", _by_split(within)),
        ("nearly in an earlier split", _by_split(across | {"train": ""})),
    ]
    return rows, notes


def _sizes(seen: Mapping[str, _Seen]) -> list[tuple[str, tuple]]:
    """Returns the middle and the range of the sizes of examples."""
    unit = next((own.unit for own in seen.values() if own.unit), "")
    if not unit or not all(len(own.sizes) for own in seen.values()):
        return []

    def text(numbers: np.ndarray) -> str:
        return (" x " if unit == "pixels" else " + ").join(f"{number:.0f}" for number in numbers)

    rows = []
    middle = {split: text(np.median(own.sizes, axis=0)) for split, own in seen.items()}
    rows.append((f"median {unit}", _by_split(middle)))
    if any(len(np.unique(own.sizes, axis=0)) > 1 for own in seen.values()):
        ends = {
            split: f"{text(own.sizes.min(axis=0))} to {text(own.sizes.max(axis=0))}"
            for split, own in seen.items()
        }
        rows.append((f"range of {unit}", _by_split(ends)))
    return rows


def _by_split(values: Mapping[str, Any], missing: str = "") -> tuple[str, str, str]:
    train, validation, test = (str(values.get(split, missing)) for split in SPLITS)
    return train, validation, test


def _escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
