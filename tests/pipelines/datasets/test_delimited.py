"""CSV text: every field exactly as it was written, and one sentence where it cannot be read."""

from __future__ import annotations

import csv
import io
import re
from functools import partial
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.datasets import delimited
from pipelines.errors import UserError

FILE = Path("own.csv")
CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\uffff"), max_size=6)
# What fields are cut and quoted by.
CELL |= st.text(" ,;\t|\"\n\ra'", max_size=6)


@st.composite
def tables(draw) -> list[list[str]]:
    width = draw(st.integers(1, 4))
    return draw(st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=6))


def parsed(path: Path, text: str, separator: str = "") -> delimited.Records:
    return delimited.parse(path, partial(io.StringIO, text, newline=""), separator)


def rows_of(found: delimited.Records) -> list[list[str]]:
    return [list(row) for row in zip(*found.columns, strict=True)]


@given(tables(), st.sampled_from(delimited.SEPARATORS), st.booleans())
def test_what_a_csv_writer_wrote_is_read_exactly(rows, separator, named):
    # Rows without any value at the end are blank ones.
    rows = [*rows, ["end"] * len(rows[0])]
    header = [f"c{number}" for number in range(len(rows[0]))]
    # Between tabs, lines that all are rows are taken for these.
    joined = map("".join, rows)
    assume(separator != "\t" or not any("\t" in x and {*x} & {*"\r\n"} for x in joined))
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows([header, *rows])
    named = named and len(header) > 1
    found = parsed(FILE, text.getvalue(), separator if named else "")
    assert found.header == header
    assert rows_of(found) == rows
    assert not found.problems
    assert found.separator == (separator if len(header) > 1 else "")


@given(tables())
def test_lines_are_those_at_which_rows_start(rows):
    text, starts = io.StringIO(), []
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    for row in [["text"] * len(rows[0]), *rows, ["end"] * len(rows[0])]:
        written = text.getvalue().replace("\r\n", "\n").replace("\r", "\n")
        starts.append(written.count("\n") + 1)
        writer.writerow(row)
    assert list(parsed(FILE, text.getvalue(), ",").lines) == starts[1:]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("text;label\na, b;x\n", [["a, b", "x"]]),
        ("text|label\na;b|x\n", [["a;b", "x"]]),
        ("text\tlabel\na|b\tx\n", [["a|b", "x"]]),
        ("sep=;\ntext;label\na,b;x", [["a,b", "x"]]),
        ('"sep=|"\r\ntext|label\r\na,b|x', [["a,b", "x"]]),
        ('"text","label"\n"a;b\t","x"', [["a;b\t", "x"]]),
        ("text,label\ra,x\rb,y\r", [["a", "x"], ["b", "y"]]),
        ("\r\n text , label \r\n\r\na,x\r\n  \r\nb,y\r\n\r\n", [["a", "x"], ["b", "y"]]),
        (",,\ntext,label,\na,x,\nb,y,\n,,\n,,\n", [["a", "x", ""], ["b", "y", ""]]),
        ("text,label\na,x,,\nb,y,,\n", [["a", "x"], ["b", "y"]]),
        ("text,label,,\na,x\nb,y\n", [["a", "x"], ["b", "y"]]),
        ("text,label,\na,x,\nb,y\n", [["a", "x", ""], ["b", "y", ""]]),
        ('text, label\n"a, b", "x"\nc, y\n', [["a, b", "x"], ["c", "y"]]),
        ('text, label\na, "x, y"\n', [["a", "x, y"]]),
        ("text\nWell, so it is; yes\nno\n", [["Well, so it is; yes"], ["no"]]),
        ('text,label\nsay "so",x\n', [['say "so"', "x"]]),
        ('text\tlabel\n"So" it is\tx\nb\ty\n', [['"So" it is', "x"], ["b", "y"]]),
    ],
)
def test_the_forms_that_programs_write_are_read(text, rows):
    found = parsed(FILE, text)
    assert found.header[:2] == ["text", "label"][: len(rows[0])]
    assert rows_of(found) == rows
    assert not found.problems


@pytest.mark.parametrize(
    ("text", "row", "problem"),
    [
        ("text,label\nWell, a,x\nb,y\n", 0, "3 fields, but the header has 2; a text that"),
        ("text,label\na,x\nWell, b,y\nc,z\n", 1, "3 fields, but the header has 2; a text that"),
        (
            "text,label\na,x\nb,y\nc,z,",
            2,
            "3 fields, but the header has 2; a text that contains ','",
        ),
        ("text,label\na,x\nb\nc,z\n", 1, "1 field, but the header has 2"),
        (
            "text;label\na;x\nb; c;y\n",
            1,
            "3 fields, but the header has 2; a text that contains ';'",
        ),
        ("text\tlabel\na\tx\nb\tc\ty\n", 1, "3 fields, .* a text that contains tab needs quotes"),
        ("text\tlabel\n1\ta\tx\n", 0, "3 fields, .*or the header lacks a name for the first col"),
        ("text,label\nWell, so,\n", 0, "3 fields, but the header has 2"),
    ],
)
def test_a_row_of_another_length_is_a_problem(text, row, problem):
    found = parsed(FILE, text)
    assert list(found.problems) == [row]
    assert len(rows_of(found)[row]) == len(found.header)
    assert re.match(problem, found.problems[row])


@pytest.mark.parametrize(
    ("text", "separator", "message"),
    [
        ('text,label\na,x\n"b,y\nc,z\n', "", "own.csv, line 3: unexpected end of data; a quote"),
        ('text,label\n"a" b,x\n', "", "own.csv, line 2: ',' expected after '\"'; a quote"),
        ('text,label\n"a,x\n"b,y\n', "", "own.csv, line 2: .* a quote that is part of a text"),
        ('"text" "label"\n"1" "a" "x"\n', "", "own.csv, line 1: text behind .* --separator ' '$"),
        ("text,a;b\nx,y;z\n", "", "own.csv may be separated by ',' or ';'; pass --separator"),
        ("text,label\n", ",,", "--separator must be one character, or tab, not ',,'"),
        ("text,label\n", '"', "--separator must be one character, or tab, not '\"'"),
    ],
)
def test_what_is_not_clear_is_an_error_with_its_line(text, separator, message):
    with pytest.raises(UserError, match=message):
        parsed(FILE, text, separator)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (
            'a,b\nc,d\n"e\nf",g\n"h\r\ni",j',
            "own.csv: 2 rows with line breaks in quotes, the first in line 3",
        ),
        ("a,b\nc,d\n,\n,\n", "own.csv: 2 rows at the end without any value"),
        ('a\tb\nc\td\n"e\tf\n', "own.csv: quotes are read as parts of the texts, .* in line 3"),
    ],
)
def test_what_was_recognized_is_noted(text, note):
    (found,) = parsed(FILE, text).notes
    assert re.fullmatch(note, found)


SWALLOWED = [
    ["id", "text"],
    ["1", '"So it is'],
    ["2", "b"],
    ["3", "c"],
    ["4", 'and so"'],
    ["5", "d"],
]


def test_a_pair_of_quotes_between_tabs_swallows_no_rows():
    text = "".join("\t".join(row) + "\n" for row in SWALLOWED)
    found = parsed(FILE, text)
    assert rows_of(found) == SWALLOWED[1:]
    (note,) = found.notes
    assert note == (
        "own.csv: quotes are read as parts of the texts, as each line is a row; the first is in "
        "line 2"
    )


@pytest.mark.parametrize(
    "text",
    [
        'a\tb\n"c\nd"\te\n"f"\tg\n',
        '"a"\t"b"\n"c"\t"d\ne\tf"\n',
        'a\tb\n"c ""d"""\te\n',
    ],
)
def test_quotes_between_tabs_are_read_where_lines_are_no_rows(text):
    found = parsed(FILE, text)
    assert rows_of(found) == list(csv.reader(io.StringIO(text, newline=""), delimiter="\t"))[1:]


LOUD = "look like rows of their own, the first in line 2"


@pytest.mark.parametrize(
    ("separator", "end", "noted"),
    [
        (",", "", True),
        (";", "", True),
        # Lines of a text that have other numbers of commas are no rows.
        (",", '6,"e\nf, g, h"\n', False),
        ("\t", '6\t"e\nf"\n', True),
    ],
)
def test_lines_in_quotes_that_look_like_rows_are_noted(separator, end, noted):
    text = "".join(separator.join(row) + "\n" for row in SWALLOWED) + end
    found = parsed(FILE, text)
    assert len(rows_of(found)) == 2 + bool(end)
    assert any(LOUD in note for note in found.notes) == noted


@pytest.mark.parametrize("text", ["", "\n\n", "text,label\n"])
def test_a_text_without_rows_has_none(text):
    assert rows_of(parsed(FILE, text)) == []


@pytest.mark.parametrize("name", ["tab", "TAB", "\\t", "\t"])
def test_the_separator_may_be_named(name):
    assert rows_of(parsed(FILE, "a\tb\n1\t2\n", name)) == [["1", "2"]]
