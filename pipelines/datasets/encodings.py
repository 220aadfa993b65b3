"""Text files in the encoding that they have: UTF-8, UTF-16, Latin-1, or one that is asked for."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import UserError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_START = 4096
_BLOCK = 1 << 20
# So many bytes that are not UTF-8 stand against one character that is.
_CHANCE = 5
# So many letters outside ASCII tell whether a text is in an alphabet of Latin-1.
_ENOUGH = 20


@dataclass(frozen=True)
class TextFile:
    """A text file that can be decoded, and is read a line at a time.

    Attributes:
        path: The file.
        encoding: Its encoding.
        notes: A note if that is not UTF-8.
    """

    path: Path
    encoding: str
    notes: Sequence[str]

    def exact(self) -> Iterator[str]:
        """Yields its lines, with their ends as they are: "\\n", "\\r\\n" or "\\r"."""
        return self._lines("")

    def __iter__(self) -> Iterator[str]:
        """Yields its lines, each with "\\n" at its end, but maybe the last one.

        A "\\r" alone ends lines only where no "\\n" does, as on old Macs; else it is part of its
        line.
        """
        whole = True
        for line in self._lines("\n"):
            if line.endswith("\n"):
                yield re.sub("\r+\n$", "\n", line) if line.endswith("\r\n") else line
            elif whole:
                yield from re.findall("[^\n]*\n|[^\n]+", line.replace("\r", "\n"))
            else:
                yield line
            whole = False

    def _lines(self, newline: str) -> Iterator[str]:
        with self.path.open(encoding=self.encoding, newline=newline) as file:
            yield from filter(None, [next(file, "").removeprefix("\ufeff")])
            yield from file


def read_text(path: Path, encoding: str = "") -> tuple[str, list[str]]:
    """Reads a whole text file, with "\\n" at the end of each line, see `TextFile`.

    Returns:
        The text, and notes.

    Raises:
        UserError: The file cannot be read or decoded.
    """
    file = opened(path, encoding)
    return "".join(file), list(file.notes)


def opened(path: Path, encoding: str = "") -> TextFile:
    """Returns a text file, of which all has been decoded once.

    Without `encoding` it is UTF-8, UTF-16 or, if it is neither, Latin-1 in the form of Windows
    (cp1252). A file that has many characters of several bytes in UTF-8 and something else, too, is
    damaged, and not Latin-1.

    Raises:
        UserError: The file cannot be read or decoded.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    chosen, notes = encoding, list[str]()
    if not encoding:
        chosen = _marked(start) or _found(path)
        if not chosen.startswith("utf-8"):
            notes.append(f"{path} is read as {chosen}, as it is not UTF-8")
    try:
        has_zero = any("\0" in block for block in _blocks(path, chosen))
    except UnicodeDecodeError as error:
        content, position = _position(path, chosen, error)
        raise UserError(
            f"{path} is not {chosen} in line {_line(content, position)}: "
            f"byte 0x{content[position]:02x}"
        ) from error
    except (LookupError, ValueError) as error:
        raise UserError(
            f"--encoding must be an encoding such as utf-8, utf-16 or latin-1, not {encoding!r}"
        ) from error
    if has_zero:
        text = "".join(_blocks(path, chosen))
        line = _line(text.encode("latin-1", "replace"), text.index("\0"))
        raise UserError(f"{path} is not a text file: line {line} has a zero byte")
    return TextFile(path, chosen, notes)


def _blocks(path: Path, encoding: str) -> Iterator[str]:
    """Yields a file's text in parts."""
    with path.open(encoding=encoding, newline="") as file:
        while block := file.read(_BLOCK):
            yield block


def _position(path: Path, encoding: str, error: UnicodeDecodeError) -> tuple[bytes, int]:
    """Returns what a file holds, and where in it the first byte is that cannot be decoded."""
    content = path.read_bytes()
    try:
        content.decode(encoding)
    except UnicodeDecodeError as same:
        return content, same.start
    return content, error.start


def _line(content: bytes, position: int) -> int:
    """Returns the number of the line that a position is in."""
    return content.count(b"\n" if b"\n" in content else b"\r", 0, position) + 1


def _marked(start: bytes) -> str:
    """Returns the encoding that the first bytes of a file tell; "" if they tell none."""
    for mark, name in _MARKS:
        if start.startswith(mark):
            return name
    # Text in UTF-16 without a mark has a zero byte for nearly every character of ASCII.
    for name, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if len(start) > 1 and zeros.count(0) > 0.4 * len(zeros):
            return name
    return ""


def _found(path: Path) -> str:
    """Returns the encoding of a file without a mark, by what decodes."""
    try:
        for _ in _blocks(path, "utf-8"):
            pass
        return "utf-8"
    except UnicodeDecodeError as error:
        content, position = _position(path, "utf-8", error)
        line, byte = _line(content, position), content[position]
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
