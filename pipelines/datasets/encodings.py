"""Text files in the encoding that they have: UTF-8, UTF-16, Latin-1, or one that is asked for."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from pipelines.errors import UserError

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
