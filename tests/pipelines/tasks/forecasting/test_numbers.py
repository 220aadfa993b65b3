"""Numbers as people write them: what each is, and when it is unclear."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.tasks.forecasting import numbers

NOT = ["", "abc", "1_000", "0x1f", "1.2.3", "1,2,3", "12 34", "1,23,456", "5%", "$5", "1e", "--5"]


@pytest.mark.parametrize(
    ("text", "decimal", "expected"),
    [
        *((" 12.5 ", ".", 12.5), ("12,5", ",", 12.5), ("-3", ".", -3), ("+3", ",", 3)),
        *(("1e5", ".", 1e5), ("1,5E-3", ",", 1.5e-3), (".5", ".", 0.5), ("5.", ".", 5)),
        *(("1,234.5", ".", 1234.5), ("1.234,5", ",", 1234.5), ("1,234,567", ".", 1234567)),
        *(("1 234,5", ",", 1234.5), ("1\u202f234\u202f567,5", ",", 1234567.5)),
        *(("1'234.5", ".", 1234.5), ("−4", ".", -4), ("-1.234", ",", -1234)),
        *(("12.355", ".", 12.355), ("12.355", ",", 12355), ("0.355", ".", 0.355)),
        *(("0.355", ",", None), ("12,5", ".", None), ("1,2345", ".", None)),
        *(("inf", ".", math.inf), ("-Infinity", ",", -math.inf), ("1e999", ".", math.inf)),
        *((text, mark, None) for text in NOT for mark in ".,"),
    ],
)
def test_a_text_is_the_number_that_it_says(text, decimal, expected):
    assert numbers.value(text, decimal) == expected


@given(number=st.floats(-1e12, 1e12), decimal=st.sampled_from(".,"), digits=st.integers(0, 6))
def test_numbers_come_back_with_and_without_thousands_marks(number, decimal, digits):
    for mark in ("", ",", "_"):
        text = f"{number:{mark}.{digits}f}".replace("_", " ")
        if decimal == ",":
            text = text.translate(str.maketrans(".,", ",."))
        expected = float(f"{number:.{digits}f}")
        assert numbers.value(text, decimal) == expected
        assert numbers.is_number(text)


@pytest.mark.parametrize("text", ["", " ", "NA", "n/a", "NaN", "null", "-", "."])
def test_some_texts_are_no_value(text):
    assert numbers.is_missing(text)
    assert not numbers.is_number(text)


@pytest.mark.parametrize("text", ["0", "-1", "nano", "inf"])
def test_others_are_not_missing(text):
    assert not numbers.is_missing(text)


@pytest.mark.parametrize(
    ("texts", "separator", "expected"),
    [
        (["1", "2e5"], ",", "."),
        (["1.5", "2.25"], ";", "."),
        (["1,5", "2"], ",", ","),
        (["1.234,5", "7,1"], ";", ","),
        (["1,234.5", "7.1"], ";", "."),
        (["1.234", "0.5"], ";", "."),
        (["1.234.567", "1.234"], ";", ","),
        (["10,000", "12,355"], ";", ","),
        (["10,000", "12,355"], "\t", ","),
        (["10.000", "12.355"], "\t", "."),
        (["10.000", "12.355", "7"], ",", "."),
        (["10,000", "1234"], ",", ","),
        (["10.000", "1234"], ";", "."),
        # Decimals or thousands.
        (["10,000", "12,355"], ",", ""),
        (["10.000", "12.355"], ";", ""),
        (["10,000", "950"], ";", ""),
        (["1.234", "1,234"], ";", ""),
        # Neither mark fits all.
        (["1.5", "1,5"], ";", "?"),
    ],
)
def test_the_decimal_mark_follows_from_the_form_of_numbers(texts, separator, expected):
    assert numbers.decimal_mark(texts, separator) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, -9999, 3, -9999], -9999),
        ([1, 2, 99.9, 3], 99.9),
        ([-9, 1, 2, 5, 9], None),
        ([1, 2, np.nan], None),
        ([99, 98, 97, 60], None),
        ([np.nan], None),
    ],
)
def test_a_number_of_nines_far_away_is_a_placeholder(values, expected):
    assert numbers.placeholder(np.array(values, np.float64)) == expected


TEXTS = st.text("0123456789+-−.,eE'n a", max_size=6)
LISTS = st.lists(TEXTS | st.sampled_from(["inf", "1.5", "-2", ""]))


@given(
    texts=st.lists(TEXTS | st.sampled_from(["inf", "1.5", "-2", ""])), decimal=st.sampled_from(".,")
)
def test_texts_are_the_numbers_that_each_of_them_is(texts, decimal):
    each = [math.nan if numbers.is_missing(x) else numbers.value(x, decimal) for x in texts]
    found = numbers.values(texts, decimal)
    if None in each:
        assert found is None
    else:
        np.testing.assert_array_equal(found, np.array(each, np.float64))


@given(text=TEXTS, digits=st.lists(st.sampled_from("123456789"), min_size=6, max_size=6))
def test_one_number_of_each_shape_tells_what_the_others_are(text, digits):
    new = iter(digits)
    other = "".join(next(new) if x in "123456789" else x for x in text)
    assert numbers.of_each_shape([text, other]) == [text]
    for mark in numbers.MARKS:
        assert numbers.has_thousands(text, mark) == numbers.has_thousands(other, mark)
        assert (numbers.value(text, mark) is None) == (numbers.value(other, mark) is None)
    assert numbers.of_each_shape(["10", "05", "20", "1"]) == ["10", "05", "1"]
