"""Text files: their encodings and line ends."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.datasets import encodings
from pipelines.errors import UserError


def written(folder: Path, content: bytes) -> Path:
    file = folder / "own.txt"
    file.write_bytes(content)
    return file


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"))


@given(TEXT, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_text_is_recognized_in_each_form_of_unicode(tmp_path_factory, text, encoding):
    file = written(tmp_path_factory.mktemp("text"), text.encode(encoding))
    assert "".join(encodings.opened(file).exact()) == text
    assert encodings.read_text(file)[0].count("\n") == (text.count("\n") or text.count("\r"))
    assert "".join(encodings.opened(file, encoding).exact()) == text


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb\r\nc", ["a", "b", "c"]),
        ("a\rb\r\rc", ["a", "b", "", "c"]),
        ("a\rb\nc\n", ["a\rb", "c", ""]),
        ("a\rb\r\n\r\nc", ["a\rb", "", "c"]),
        ("a\r\r\nb\r\r\n", ["a", "b", ""]),
    ],
)
def test_a_carriage_return_ends_lines_only_where_nothing_else_does(tmp_path, text, lines):
    assert encodings.read_text(written(tmp_path, text.encode()))[0].split("\n") == lines


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_recognized_without_its_mark_and_noted(tmp_path, encoding):
    file = written(tmp_path, "text,label\r\nPřílíš,a\r\n".encode(encoding))
    text, notes = encodings.read_text(file)
    assert text == "text,label\nPřílíš,a\n"
    assert notes == [f"{file} is read as {encoding}, as it is not UTF-8"]


@pytest.mark.parametrize(
    "text",
    ["naïve", "»Spaß« für Größe, Höhe, Straßen", "“quoted” – it’s", "5 € für Öl", "ÀÉÎõü"],
)
def test_latin_1_of_windows_is_recognized_and_noted(tmp_path, text):
    file = written(tmp_path, text.encode("cp1252"))
    assert encodings.read_text(file) == (text, [f"{file} is read as cp1252, as it is not UTF-8"])


RUSSIAN = "Мама мыла раму, а папа читал газету\n" * 3
GERMAN = "Für größere Höfe wären fünf schöne Bäume üblich\n" * 3


@pytest.mark.parametrize(
    ("text", "encoding"),
    [(RUSSIAN, "cp1251"), ("<p>of a page</p>\n" * 20 + RUSSIAN, "koi8-r"), (GERMAN, "mac-roman")],
)
def test_the_encoding_is_asked_for_where_latin_1_is_unlikely(tmp_path, text, encoding):
    file = written(tmp_path, text.encode(encoding))
    with pytest.raises(UserError, match=r"pass its --encoding"):
        encodings.read_text(file)
    assert encodings.read_text(file, encoding)[0] == text


@pytest.mark.parametrize(
    "text",
    [
        GERMAN,
        GERMAN.upper(),
        "Žižek, Šárka žena, aŸ ÀÉÎõü\n" * 9,
        "»Où est l’élève créée?« à ¼ ª º\n" * 9,
    ],
)
def test_latin_1_stays_so_with_many_marks(tmp_path, text):
    assert encodings.read_text(written(tmp_path, text.encode("cp1252")))[0] == text


@pytest.mark.parametrize(
    ("content", "line", "byte"),
    [
        ("Łódź\nis a\ncity".encode().replace(b"city", b"cit\xff"), 3, "ff"),
        ("é\ré\ré".encode() + b"\xe9", 3, "e9"),
        ("ééé\r\néé".encode()[:-1], 2, "c3"),
    ],
)
def test_damaged_utf_8_is_named_with_its_line(tmp_path, content, line, byte):
    file = written(tmp_path, content)
    with pytest.raises(UserError, match=f"{file} is damaged: line {line} has the byte 0x{byte}"):
        encodings.read_text(file)
    assert encodings.read_text(file, "latin-1")[0]


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"a\nbut not\0text", "", "is not a text file: line 2 has a zero byte"),
        (b"a\rb\nbut not\0text", "", "is not a text file: line 2 has a zero byte"),
        (b"\x81\x8d", "", r"is not UTF-8, UTF-16 or Latin-1 \(byte 0x81 in line 1\)"),
        ("a\né".encode("latin-1"), "utf-8", "is not utf-8 in line 2: byte 0xe9"),
        (b"a", "utf8000", "--encoding must be an encoding such as utf-8, .* not 'utf8000'"),
        (b"a", "base64", "--encoding must be an encoding such as utf-8, .* not 'base64'"),
        (codecs.BOM_UTF16_LE + b"a\0\xd8", "", "is not utf-16 in line 1"),
    ],
)
def test_what_is_no_text_in_the_encoding_is_an_error(tmp_path, content, encoding, message):
    with pytest.raises(UserError, match=message):
        encodings.read_text(written(tmp_path, content), encoding)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path} cannot be read: Is a directory"):
        encodings.read_text(tmp_path)
