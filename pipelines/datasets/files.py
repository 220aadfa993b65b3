"""A user's own files: which of them count, which split they are of, and what a path holds."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.datasets.splitting import SPLITS
from pipelines.errors import UserError

# Other names for the splits, as people call their files and folders.
SPLIT_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
# What operating systems, editors and archivers leave in folders, in lower case.
_LEFT_BEHIND = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r"}
# Endings of images, of those that cannot be read as well.
IMAGES = {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".dib", ".webp"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".ico", ".tga", ".pcx", ".qoi"),
    *(".avif", ".heic", ".heif", ".jp2", ".j2k", ".jxl", ".psd", ".svg"),
    *(".dng", ".cr2", ".nef", ".arw", ".dcm"),
}
_TABLES = {".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet"}
# What to do with files that many tools write and none here reads.
_ADVICE: Mapping[str, str] = {
    **dict.fromkeys((".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar"), "unpack it"),
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), "save it as CSV in UTF-8"),
    **dict.fromkeys((".docx", ".doc", ".odt", ".rtf", ".pdf"), "save it as plain text, .txt"),
    ".json": "write it with one JSON object a line, as .jsonl",
}


def counts(path: Path) -> bool:
    """Returns whether a file or folder is the user's, and not hidden or left by a program."""
    return not path.name.startswith((".", "~$")) and path.name.lower() not in _LEFT_BEHIND


def children(folder: Path) -> list[Path]:
    """Returns the files and folders in a folder that count, in the order of their names.

    Raises:
        UserError: The folder cannot be read.
    """
    return [path for path, _ in _entries(folder)]


def _entries(folder: Path) -> list[tuple[Path, os.DirEntry[str]]]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from error
    return [(path, entry) for entry in found if counts(path := folder / entry.name)]


def walk(folder: Path) -> Iterator[Path]:
    """Yields all files below a folder that count, in the order of their names.

    Links are followed, except those to a folder that they are in. A link to nothing is a file,
    which then cannot be read.
    """
    for path, entry in _entries(folder):
        # What a link leads to is a question to the system, what the others are is not.
        is_link = entry.is_symlink()
        if path.is_dir() if is_link else entry.is_dir():
            if not (is_link and folder.resolve().is_relative_to(path.resolve())):
                yield from walk(path)
        elif is_link or entry.is_file():
            yield path


def split_of(path: Path) -> str:
    """Returns the split that the name of a file or folder stands for, or ""."""
    stem = path.name.lower() if path.is_dir() else path.stem.lower()
    return next((split for split, names in SPLIT_NAMES.items() if stem in names), "")


def of_splits(folder: Path, suffixes: Iterable[str] = ()) -> dict[str, Path]:
    """Returns the entries of a folder that are splits, by split.

    Files of which none is just called after a split may have its name as a word among others, as
    "train-v1.1.json".

    Args:
        folder: The folder.
        suffixes: The endings of files that count, in lower case; without them, folders count.

    Raises:
        UserError: Two entries are the same split.
    """
    wanted, found = set(suffixes), dict[str, Path]()
    entries = [
        path
        for path in children(folder)
        if (path.is_file() and path.suffix.lower() in wanted if wanted else path.is_dir())
    ]
    for path in entries:
        split = split_of(path)
        if split in found:
            raise UserError(
                f"{folder} has two files for its {split} split: {found[split].name} and {path.name}"
            )
        if split:
            found[split] = path
    if not found and wanted:
        found = _of_words(entries)
    return {split: found[split] for split in SPLITS if split in found}


def splits_named(file: Path) -> list[str]:
    """Returns the splits of which a name is a word in a file's, as in "wnut17train.conll"."""
    words = set(re.findall(r"[^\W\d_]+", file.stem.lower()))
    return [split for split, names in SPLIT_NAMES.items() if words & set(names)]


def _of_words(entries: Iterable[Path]) -> dict[str, Path]:
    """Returns files by the split whose name is a word in theirs; none unless that is clear."""
    found = dict[str, Path]()
    for path in entries:
        splits = splits_named(path)
        if len(splits) > 1 or found.keys() & set(splits):
            return {}
        found |= dict.fromkeys(splits, path)
    return found if "train" in found else {}


def find(path: Path, suffixes: Iterable[str]) -> dict[str, list[Path]]:
    """Returns the files of each split: one by its name, or all in a folder of its name.

    Args:
        path: A folder, or one file.
        suffixes: The endings that count, in lower case.

    Returns:
        Files by split; all as "" where none is of a split, which may be an empty list.

    Raises:
        UserError: Two entries are the same split, or some files have a split's name and others not.
    """
    wanted = set(suffixes)
    if path.is_file():
        return {"": [path] if path.suffix.lower() in wanted else []}
    if found := of_splits(path, wanted):
        return {split: [file] for split, file in found.items()}
    if folders := of_splits(path):
        return {split: _below(folder, wanted) for split, folder in folders.items()}
    return _parts(path, _below(path, wanted))


def _below(folder: Path, wanted: Collection[str]) -> list[Path]:
    return [file for file in walk(folder) if file.suffix.lower() in wanted]


def _parts(path: Path, found: list[Path]) -> dict[str, list[Path]]:
    """Returns files by the one split that each has in its name, or all as "" if none has any.

    Raises:
        UserError: Only some of the files have one, so that a test could be mixed into train.
    """
    # Texts beside other files may be about them.
    found = [file for file in found if file.suffix.lower() != ".txt"] or found
    named = {file: splits_named(file) for file in found}
    plain = [file for file, splits in named.items() if len(splits) != 1]
    held_out = [file for file, splits in named.items() if splits in (["validation"], ["test"])]
    if held_out and plain:
        raise UserError(
            f"{path} has {held_out[0].name}, which by its name is of the {named[held_out[0]][0]} "
            f"split, and {plain[0].name}, which is of none: name the files train, validation and "
            "test, or pass one of them"
        )
    if plain or len(held_out) in (0, len(found)):
        return {"": found}
    return {
        split: own
        for split in SPLITS
        if (own := [file for file in found if named[file] == [split]])
    }


def unread(path: Path, found: Iterable[Path], suffixes: Iterable[str]) -> list[str]:
    """Returns a note if files that could have been meant are not among those that are read.

    Args:
        path: What the user named.
        found: The files that are read.
        suffixes: The endings of files that a task reads.
    """
    read, wanted = set(found), set(suffixes)
    others = [
        file
        for file in (walk(path) if path.is_dir() else ())
        if file not in read and (file.suffix.lower() in wanted or splits_named(file))
    ]
    if not others:
        return []
    more = f", nor {number(len(others) - 1, 'more file')}" * (len(others) > 1)
    return [f"{others[0]} is not read{more}"]


def describe(path: Path) -> str:
    """Returns what a path holds, as "240 images in train/cat, train/dog, …"."""
    if not path.exists():
        return "nothing: there is no such file or folder"
    if path.is_file():
        return "an empty file" if not path.stat().st_size else f"one {_kind(path)}"
    found = list(walk(path))
    if not found:
        return "no files"
    kinds = Counter(_kind(file) for file in found).most_common(3)
    parts = [f"{count} {_plural(kind) if count > 1 else kind}" for kind, count in kinds]
    places = list(dict.fromkeys(str(file.parent.relative_to(path)) for file in found))
    if places == ["."]:
        where = ": " + ", ".join(file.name for file in found[:4]) + (", …" * (len(found) > 4))
    else:
        where = " in " + ", ".join(places[:4]) + (", …" * (len(places) > 4))
    return f"{' and '.join(parts)}{where}"


def _kind(file: Path) -> str:
    suffix = file.suffix.lower()
    if suffix in IMAGES:
        return "image"
    if suffix in _TABLES:
        return f"{suffix[1:].upper()} table"
    if _ADVICE.get(suffix) == "unpack it":
        return "archive that is not unpacked"
    return f"{suffix} file" if suffix else "file without an ending"


def _plural(kind: str) -> str:
    """Returns the plural of a kind, as "files without an ending"."""
    noun = next(noun for noun in ("image", "table", "archive", "file") if noun in kind.split())
    return kind.replace(noun, f"{noun}s", 1).replace(" is ", " are ")


def unlike(path: Path, task: str, needs: str) -> UserError:
    """Returns the error of a path that does not hold what a task needs."""
    found = [path] if path.is_file() else walk(path) if path.is_dir() else []
    advice = next((_ADVICE[one] for file in found if (one := file.suffix.lower()) in _ADVICE), "")
    return UserError(
        f"{task} needs {needs}, but {path} holds {describe(path)}{'; ' * bool(advice)}{advice}"
    )


def printable(path: Path) -> str:
    """Returns a path as text; bytes in it that are not UTF-8 become "\\xff"."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def digest(files: Iterable[Path]) -> str:
    """Returns 12 hexadecimal digits that change with the content of files."""
    sha = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            sha.update(hashlib.file_digest(opened, "sha256").digest())
    return sha.hexdigest()[:12]


def json_hash(content: Any) -> hashlib._Hash:
    """Returns the SHA-256 of a value's JSON, which is never in memory as a whole.

    What JSON cannot hold is written as its `repr`.
    """
    sha = hashlib.sha256()
    for part in json.JSONEncoder(default=repr).iterencode(content):
        sha.update(part.encode())
    return sha


def one_of(names: Sequence[str]) -> str:
    """Returns names as "a, b or c"."""
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def number(count: int, noun: str) -> str:
    """Returns a number with its noun, as "1 row" or "1,200 rows"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"
