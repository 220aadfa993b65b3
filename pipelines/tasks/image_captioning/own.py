"""A user's own images with captions: a table beside the images, or in each split's folder.

    captions.csv, images…           split by `--split_seed`
    SPLIT/captions.csv, images…     or a table for each split, as train.csv

A table has the columns `image` (or `file`, `file_name`), a path from the table's folder or from its
folder `images`, and `caption`. Rows with the same image are several captions of it.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.config import Config
from pipelines.datasets import files, split_tables, splitting, tables
from pipelines.datasets.splitting import SPLITS
from pipelines.datasets.tables import Table
from pipelines.errors import UserError
from pipelines.image.files import IMAGE_FOLDERS, ImageFile, named, notes
from pipelines.image.scan_cache import scanned
from pipelines.image.splits import relative, table_path

_NEEDS = (
    "a table (.csv, .tsv, .jsonl or .parquet) with the columns image and caption beside the "
    "images, as captions.csv, also in folders train, validation and test"
)
_IMAGE, _CAPTION = "image", "caption"
# Other names of columns, as people and other tools call them.
_OTHERS = {
    _IMAGE: ("file", "file_name", "filename", "path", "image_path"),
    _CAPTION: ("captions", "text", "description"),
}

Example = tuple[ImageFile, tuple[str, ...]]


@dataclass(frozen=True)
class OwnCaptions:
    """Image files with captions.

    Attributes:
        examples: By split, train first, images with their captions, in pseudo-random order.
        digest: Fingerprint of the files, their names, captions and splits.
        notes: What was found and is worth knowing, in sentences.
        left_out: By split, the number of rows that are left out.
    """

    examples: Mapping[str, Sequence[Example]]
    digest: str
    notes: tuple[str, ...]
    left_out: Mapping[str, int]


def read(path: Path, config: Config) -> OwnCaptions:
    """Finds, checks and splits the images and captions in a folder or a table.

    Raises:
        UserError: There are no images with captions, or a row cannot be used while `skip_bad` is
            false.
    """
    images: dict[str, ImageFile] = {}
    given = {split: _checked(table, images, config) for split, table in _given(path, config)}
    # Rows of one image are in one split.
    found = split_tables.with_all_splits(given, config, label="", group=_IMAGE)
    examples = {split: _grouped(table, images) for split, table in found.items()}
    base = path if path.is_dir() else path.parent
    sha = hashlib.sha256()
    for split, own in examples.items():
        for image, captions in own:
            name = relative(image.path, base)
            sha.update(repr((split, name, image.digest, captions)).encode())
    return OwnCaptions(
        {
            split: splitting.shuffled(own, lambda one: relative(one[0].path, base))
            for split, own in examples.items()
        },
        sha.hexdigest()[:12],
        (
            *split_tables.notes(found),
            *_in_several_splits(examples),
            *notes([image for own in examples.values() for image, _ in own]),
        ),
        {split: table.left_out for split, table in found.items()},
    )


def _given(path: Path, config: Config) -> list[tuple[str, Table]]:
    """Returns the table of each split, with the columns of images and captions; "" without splits.

    Raises:
        UserError: There is no table, or one has no such columns.
    """
    folders = files.of_splits(path) if path.is_dir() else {}
    if "train" in folders:
        listed = [(split, _only_table(folder)) for split, folder in folders.items()]
    elif path.exists() and tables.holds_tables(path):
        own = files.of_splits(path, tables.READERS) if path.is_dir() else {}
        listed = [*own.items()] or [("", path if path.is_file() else _only_table(path))]
    else:
        raise files.unlike(path, "image_captioning", _NEEDS)
    return [(split, _columns(tables.read(table, config))) for split, table in listed]


def _only_table(folder: Path) -> Path:
    """Returns the table in a folder, or the one called captions among several."""
    found = [child for child in files.children(folder) if tables.is_table(child)]
    called = [child for child in found if child.stem.lower() in ("captions", "metadata")]
    chosen = found if len(found) == 1 else called
    if len(chosen) != 1:
        raise UserError(
            f"{folder} needs one table with the columns image and caption, as captions.csv; it "
            f"holds {files.describe(folder)}"
        )
    return chosen[0]


def _columns(table: Table) -> Table:
    """Returns a table with the columns image and caption alone, whatever they are called."""
    table = tables.with_names(table, (_IMAGE, _CAPTION))
    lower = {name.lower(): name for name in table.columns}
    columns = dict(table.columns)
    for column, others in _OTHERS.items():
        other = next((lower[name] for name in others if name in lower), "")
        if column not in columns and column not in table.repeated and other:
            columns[column] = columns[other]
    table = replace(table, columns=columns)
    tables.check_columns(table, (_IMAGE, _CAPTION))
    return replace(table, columns={name: columns[name] for name in (_IMAGE, _CAPTION)})


def _checked(table: Table, images: dict[str, ImageFile], config: Config) -> Table:
    """Replaces the path of each image by the digest of its content, by which rows are split.

    Args:
        table: Has the columns image and caption.
        images: What is found is added to it, by its digest.
        config: Says whether rows that cannot be used may be left out.
    """
    table = tables.of_texts(table, config)
    names = list(dict.fromkeys(table.columns[_IMAGE]))
    paths = {name: _path(table.path.parent, name) for name in names}
    results = scanned([paths[name] for name in names], config.cache)
    found = dict(zip(names, results, strict=True))
    problems, digests = {}, []
    for row, name in enumerate(table.columns[_IMAGE]):
        result = found[name]
        if isinstance(result, str):
            what = result if os.path.exists(paths[name]) else "is not there"
            problems[row] = f"{files.printable(paths[name])} {what}"
            digests.append("")
        else:
            images.setdefault(result.digest, result)
            digests.append(result.digest)
    captions = [" ".join(caption.split()) for caption in table.columns[_CAPTION]]
    columns = {_IMAGE: digests, _CAPTION: captions}
    return tables.leave_out(replace(table, columns=columns), problems, config)


def _path(folder: Path, name: str) -> Path:
    """Returns the path of an image that a table in a folder names."""
    path = table_path(folder, name)
    if os.path.exists(path):
        return path
    inner = [one for one in files.children(folder) if one.name.lower() in IMAGE_FOLDERS]
    inside = [table_path(one, name) for one in inner if one.is_dir()]
    return next((one for one in inside if os.path.exists(one)), path)


def _grouped(table: Table, images: Mapping[str, ImageFile]) -> list[Example]:
    """Returns each image of a table with its captions, without those that it has twice."""
    captions: dict[str, dict[str, None]] = {}
    for digest, caption in zip(table.columns[_IMAGE], table.columns[_CAPTION], strict=True):
        captions.setdefault(digest, {})[caption] = None
    return [(images[digest], tuple(own)) for digest, own in captions.items()]


def _in_several_splits(examples: Mapping[str, Sequence[Example]]) -> list[str]:
    """Returns a note about images that are in two splits of the user's."""
    split_of: dict[str, str] = {}
    twice, pairs = [], Counter[tuple[str, str]]()
    for split in SPLITS:
        for image, _ in examples[split]:
            first = split_of.setdefault(image.digest, split)
            if first != split:
                twice.append(image.path)
                pairs[first, split] += 1
    if not twice:
        return []
    where = ", ".join(f"{one} and {other}" for one, other in pairs)
    return [f"{files.number(len(twice), 'image')} in two splits, {where}: {named(twice)}"]
