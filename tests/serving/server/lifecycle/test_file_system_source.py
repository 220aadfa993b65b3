"""Which children of a base path are versions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.server.lifecycle.file_system_source import version_folders


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("1", 1),
        ("0", 0),
        ("-3", -3),
        ("+5", 5),
        ("00000123", 123),
        ("-007", -7),
        ("000000000000000000000000000001", 1),
        (str(2**63 - 1), 2**63 - 1),
        (str(-(2**63)), -(2**63)),
    ],
)
def test_a_name_that_is_a_64_bit_integer_is_a_version(name, version):
    assert version_folders([name]) == {version: name}


@pytest.mark.parametrize(
    "name",
    [
        *("", "-", "+", "--1", "1.0", "1e3", "1_000", "0x1", "v1", "1a", "latest", "."),
        *(".1", ".1.partial", "1\n", "١", "²", str(2**63), str(-(2**63) - 1), "9" * 255),
    ],
)
def test_any_other_name_is_none(name):
    assert version_folders([name]) == {}


def test_of_several_spellings_the_last_in_sort_order_counts():
    assert version_folders(["1", "001", "01"]) == {1: "1"}
    assert version_folders(["1", "+1"]) == {1: "1"}


@given(st.lists(st.text(alphabet="-+0123456789.a", max_size=22)))
def test_version_folders_are_among_the_names(names):
    for version, name in version_folders(names).items():
        assert name in names
        assert int(name) == version
        assert -(2**63) <= version < 2**63
