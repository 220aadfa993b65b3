"""Names of classes that look alike."""

from __future__ import annotations

import pytest

from pipelines.datasets import labels


@pytest.mark.parametrize(
    "names",
    [("Cat", "cat"), ("a b", "ab"), ("1", "1.0"), ("0", "-0.0"), ("1e2", "100"), ("01", "1")],
)
def test_labels_that_look_alike_are_noted(names):
    (note,) = labels.alike([*names, *names, "other"])
    assert note.startswith(f"the classes {', '.join(map(ascii, sorted(names)))} are different")


@pytest.mark.parametrize(
    "names", [("cat", "cats"), ("1", "2"), ("nan", "inf"), ("1_0", "10"), ("", "0"), ("snan", "a")]
)
def test_other_labels_are_not_noted(names):
    assert labels.alike(names) == []
