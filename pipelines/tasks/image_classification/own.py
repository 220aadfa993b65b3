"""A user's own labeled images: in folders of classes, or named in a table.

    SPLIT/CLASS/IMAGE       splits, if a folder is named train; folders within CLASS are read, too
    CLASS/IMAGE             without splits
    a table                 columns `image`, a path from the table's folder, and `label`

What has no validation or test split is split by `--split_seed`. Files of equal content are in one
split. Hidden files, and what operating systems leave behind, do not count.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.datasets import files, split_tables, splitting, tables
from pipelines.datasets.labels import alike
from pipelines.datasets.splitting import SPLITS
from pipelines.image.config import ImageConfig
from pipelines.image.file_columns import ImageFiles, files_of, joined
from pipelines.image.files import ImageFile, named, notes
from pipelines.image.scan_cache import scanned
from pipelines.image.splits import leave_out, relative, table_path, with_all_splits
from pipelines.tasks.image_classification import folders
from pipelines.tasks.image_classification.folders import Listing

Example = tuple[ImageFile, str]


@dataclass(frozen=True, eq=False)
class Examples(Sequence[Example]):
    """Image files with their classes."""

    files: ImageFiles
    labels: list[str]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return list(zip(self.files[key], self.labels[key], strict=True))
        return self.files[key], self.labels[key]

    def __iter__(self) -> Iterator[Example]:
        return zip(self.files, self.labels, strict=True)

    def take(self, rows: np.ndarray) -> Examples:
        """Returns some of the examples."""
        return Examples(self.files.take(rows), [self.labels[row] for row in rows.tolist()])


@dataclass(frozen=True)
class OwnImages:
    """Labeled image files.

    Attributes:
        examples: By split, train first, files with their classes, in pseudo-random order.
        class_names: The classes of the training split, sorted.
        digest: Fingerprint of the files, their names, classes and splits.
        notes: What was found and is worth knowing, in sentences.
        left_out: By split, the number of files that are left out.
    """

    examples: Mapping[str, Examples]
    class_names: tuple[str, ...]
    digest: str
    notes: tuple[str, ...]
    left_out: Mapping[str, int]


def read(path: Path, config: ImageConfig) -> OwnImages:
    """Finds, checks and splits the images in a folder or a table.

    Raises:
        UserError: There are no labeled images, a file cannot be used while `skip_bad` is false, or
            the classes cannot be learned.
    """
    table = _table(path)
    if table:
        return _of_table(path, table, config)
    if not path.is_dir():
        raise files.unlike(path, "image_classification", folders.NEEDS)
    listing = folders.listing(path)
    folders.check_classes(path, {split: found.labels for split, found in listing.found.items()})
    good, found_notes, left_out = _checked(listing, config)
    examples, split_notes = with_all_splits(
        path, good, config, lambda one: one.files.keys, lambda one: one.labels
    )
    found_notes = [*listing.notes, *found_notes, *split_notes]
    lost = {split: listing.left_out.get(split, 0) + left_out.get(split, 0) for split in SPLITS}
    # What is not split yet counts as train.
    lost["train"] += listing.left_out.get("", 0) + left_out.get("", 0)
    return _finished(path, examples, found_notes, lost)


def _table(path: Path) -> Path | None:
    """Returns the table, or the folder of tables, that names images; none for folders of classes.

    A folder of classes may have a table beside them.
    """
    if path.is_file():
        return path if tables.is_table(path) else None
    if not any(tables.is_table(child) for child in files.children(path) if child.is_file()):
        return None
    return None if folders.holds_classes(path) else path


def _checked(
    listing: Listing, config: ImageConfig
) -> tuple[dict[str, Examples], list[str], dict[str, int]]:
    """Returns the files that can be read, by split, with notes and the numbers of the others."""
    found = scanned(joined([one.paths for one in listing.found.values()]), config.cache)
    problems = [(found.files.paths[row], what) for row, what in found.problems.items()]
    said = leave_out(problems, len(found), config.skip_bad)
    good, every, left_out, first = dict[str, Examples](), found.good(), dict[str, int](), 0
    for split, one in listing.found.items():
        own = every[slice(*np.searchsorted(every, (first, first + len(one.labels))))]
        labels = [one.labels[row] for row in (own - first).tolist()]
        good[split] = Examples(found.files.take(own), labels)
        left_out[split] = len(one.labels) - len(own)
        first += len(one.labels)
    return good, said, left_out


def _of_table(path: Path, table: Path, config: ImageConfig) -> OwnImages:
    """Reads a table, or a folder of tables, whose rows are images and labels."""
    images: dict[str, ImageFile] = {}

    def complete(rows: tables.Table) -> tables.Table:
        """Replaces the path of each image by the digest of its content, by which rows are split."""
        rows = tables.of_texts(rows, config)
        paths = [table_path(rows.path.parent, name) for name in rows.columns["image"]]
        results = scanned(paths, config.cache)
        problems = {
            row: result if os.path.exists(paths[row]) else "is not there"
            for row, result in enumerate(results)
            if isinstance(result, str)
        }
        problems = {row: f"{paths[row]} {what}" for row, what in problems.items()}
        digests = [result if isinstance(result, str) else result.digest for result in results]
        images.update((one.digest, one) for one in results if isinstance(one, ImageFile))
        # As the names of folders; systems differ in how they write letters with accents.
        labels = [unicodedata.normalize("NFC", one.strip()) for one in rows.columns["label"]]
        columns = {"image": digests, "label": labels}
        return tables.leave_out(replace(rows, columns=columns), problems, config)

    splits = split_tables.read_splits(
        table, config, ("image", "label"), label="label", complete=complete
    )
    examples = {
        split: Examples(
            files_of(images[digest] for digest in rows.columns["image"]),
            list(rows.columns["label"]),
        )
        for split, rows in splits.items()
    }
    found_notes = [note for rows in splits.values() for note in rows.notes]
    lost = {split: rows.left_out for split, rows in splits.items()}
    return _finished(path, examples, found_notes, lost)


def _finished(
    path: Path,
    examples: Mapping[str, Examples],
    found_notes: Sequence[str],
    left_out: Mapping[str, int],
) -> OwnImages:
    labels = {split: found.labels for split, found in examples.items()}
    folders.check_classes(path, labels)
    base = path if path.is_dir() else path.parent
    sha = hashlib.sha256()

    def names(split: str) -> Iterator[str]:
        """Yields by what examples are in their order, as they are counted in the digest."""
        for file, label in examples[split]:
            name = relative(file.path, base)
            sha.update(repr((split, name, label, file.digest)).encode())
            yield f"{name} {label}"

    # A part of the examples, as a baseline takes it, is to have all classes.
    ordered = {
        split: found.take(splitting.order(names(split))) for split, found in examples.items()
    }
    return OwnImages(
        ordered,
        tuple(sorted(set(labels["train"]))),
        sha.hexdigest()[:12],
        (
            *found_notes,
            *_about_classes(labels["train"]),
            *alike(labels["train"]),
            *_contradictions(examples),
            *notes(chain.from_iterable(found.files for found in examples.values())),
        ),
        left_out,
    )


def _about_classes(labels: Sequence[str]) -> list[str]:
    single = sorted(name for name, number in Counter(labels).items() if number == 1)
    if not single:
        return []
    return [f"only one image to train on in the class {named(single, 10)}"]


def _contradictions(examples: Mapping[str, Examples]) -> list[str]:
    """Returns a note about files of equal content that have different classes."""
    keys = np.concatenate([found.files.keys for found in examples.values()])
    label, _ = splitting.numbered(chain.from_iterable(x.labels for x in examples.values()))
    _, firsts, group = np.unique(keys, return_index=True, return_inverse=True)
    others = np.flatnonzero(label[firsts[group]] != label)
    if not len(others):
        return []
    starts = np.cumsum([0, *(len(found) for found in examples.values())])

    def shown(row: int) -> str:
        split = int(np.searchsorted(starts, row, side="right")) - 1
        image, its = list(examples.values())[split][row - int(starts[split])]
        return f"{image.path} ({its})"

    pair = f"{shown(int(firsts[group][others[0]]))} and {shown(int(others[0]))}"
    more = ", …" * (len(others) > 1)
    return [f"{files.number(len(others), 'image')} also in another class: {pair}{more}"]
