"""A user's own files: which of them count, what a path holds, and text in its encoding."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

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
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# So many bytes that are not UTF-8 stand against one character that is.
_CHANCE = 5
# So many letters outside ASCII tell whether a text is in an alphabet of Latin-1.
_ENOUGH = 20


def counts(path: Path) -> bool:
    """Returns whether a file or folder is the user's, and not hidden or left by a program."""
    return not path.name.startswith((".", "~$")) and path.name.lower() not in _LEFT_BEHIND


def children(folder: Path) -> list[Path]:
    """Returns the files and folders in a folder that count, in the order of their names.

    Raises:
        UserError: The folder cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if counts(path))
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from error


def walk(folder: Path) -> Iterator[Path]:
    """Yields all files below a folder that count, in the order of their names.

    Links are followed, except those to a folder that they are in. A link to nothing is a file,
    which then cannot be read.
    """
    for path in children(folder):
        if path.is_dir():
            if not (path.is_symlink() and folder.resolve().is_relative_to(path.resolve())):
                yield from walk(path)
        elif path.is_file() or path.is_symlink():
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
        sha.update(hashlib.sha256(file.read_bytes()).digest())
    return sha.hexdigest()[:12]


def read_text(path: Path, encoding: str = "") -> tuple[str, list[str]]:
    """Reads a text file as `read_exactly` does, with "\\n" at the end of each line.

    A "\\r" alone ends lines only where no "\\n" does, as on old Macs; else it is part of its line.
    """
    text, notes = read_exactly(path, encoding)
    if "\n" in text:
        return re.sub("\r+\n", "\n", text), notes
    return text.replace("\r", "\n"), notes


def read_exactly(path: Path, encoding: str = "") -> tuple[str, list[str]]:
    """Reads a text file, its line breaks as they are.

    Without `encoding` it is UTF-8, UTF-16 or, if it is neither, Latin-1 in the form of Windows
    (cp1252). A file that has many characters of several bytes in UTF-8 and something else, too, is
    damaged, and not Latin-1.

    Returns:
        The text, and a note if the encoding is not UTF-8.

    Raises:
        UserError: The file cannot be read or decoded.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    chosen, notes = encoding, list[str]()
    if not encoding:
        chosen = _encoding(path, content)
        if not chosen.startswith("utf-8"):
            notes.append(f"{path} is read as {chosen}, as it is not UTF-8")
    try:
        text = content.decode(chosen)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not {chosen} in line {_line(content, error.start)}: "
            f"byte 0x{content[error.start]:02x}"
        ) from error
    except (LookupError, ValueError) as error:
        raise UserError(
            f"--encoding must be an encoding such as utf-8, utf-16 or latin-1, not {encoding!r}"
        ) from error
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        line = _line(text.encode("latin-1", "replace"), text.index("\0"))
        raise UserError(f"{path} is not a text file: line {line} has a zero byte")
    return text, notes


def _line(content: bytes, position: int) -> int:
    """Returns the number of the line that a position is in."""
    return content.count(b"\n" if b"\n" in content else b"\r", 0, position) + 1


def _encoding(path: Path, content: bytes) -> str:
    """Returns the encoding of a file: by its mark, or else by what decodes."""
    for mark, name in _MARKS:
        if content.startswith(mark):
            return name
    # Text in UTF-16 without a mark has a zero byte for nearly every character of ASCII.
    start = content[:4096]
    for name, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if len(start) > 1 and zeros.count(0) > 0.4 * len(zeros):
            return name
    try:
        content.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError as error:
        line, byte = _line(content, error.start), content[error.start]
    text = content.decode("utf-8", errors="replace")
    other = text.count("\ufffd")
    whole = sum(ord(character) > 127 for character in text) - other
    # In Latin-1 a few letters before a mark, as in "Spaß", look like one character of UTF-8.
    if whole * _CHANCE > other:
        raise UserError(
            f"{path} is damaged: line {line} has the byte 0x{byte:02x}, which is not UTF-8, while "
            "other characters are; pass --encoding to read all of it in another encoding"
        )
    try:
        latin = content.decode("cp1252")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8, UTF-16 or Latin-1 (byte 0x{byte:02x} in line {line}); "
            "pass its --encoding"
        ) from error
    if odd := _not_latin(latin):
        raise UserError(
            f"{path} is not UTF-8 (byte 0x{byte:02x} in line {line}), and as Latin-1 it would have "
            f"words such as {odd!r}; pass its --encoding, as cp1251, koi8-r or mac-roman"
        )
    return "cp1252"


def _not_latin(text: str) -> str:
    """Returns an unlikely part of a text that was read as cp1252 if most of its marks are such.

    In other alphabets nearly all letters are outside ASCII. In Mac Roman é and ü are the bytes of
    Ž and Ÿ, which do not stand within words of small letters.
    """
    letters = sum(x.isalpha() and x > "\x7f" for x in text)
    runs = re.findall(r"[ª-ÿŒœŠšŸŽžƒ]{3,}", text)
    if letters >= _ENOUGH and 3 * sum(map(len, runs)) > 2 * letters:
        return max(runs, key=len)[:20]
    marks = re.findall(r"\w*(?:[a-z][ŠŽŸ‡ˆ‰]|[A-Z][ŠŽŸ‡ˆ‰][a-z])\w*", text)
    return marks[0][:20] if len(marks) >= _ENOUGH // 4 and 3 * len(marks) > letters else ""


def one_of(names: Sequence[str]) -> str:
    """Returns names as "a, b or c"."""
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def number(count: int, noun: str) -> str:
    """Returns a number with its noun, as "1 row" or "1,200 rows"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"
