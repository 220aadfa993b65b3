"""A reference as it is summarized, written and read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from drift import reference
from drift.reference import FILE, Reference, joined, profile


def test_strings_that_repeat_are_classes_and_others_texts():
    labels = np.array(["a", "b"] * 50, object)
    texts = np.array([f"text {i}" for i in range(100)], object)
    found = profile(
        {
            "answer c": labels,
            "answer c: characters": np.ones(100),
            "input t": texts,
            "input t: characters": np.arange(100.0),
        }
    )
    assert found.categories == {"answer c": {"a": 50, "b": 50}}
    assert list(found.numbers) == ["input t: characters"]
    assert found.examples == 100


def test_many_numbers_are_thinned_out_evenly():
    values = np.random.default_rng(0).permutation(10_000.0 * np.linspace(0, 1, 10_001))
    values[3] = np.nan
    found = profile({"x": values}).numbers["x"]
    assert len(found) == 512
    assert (found[0], found[-1]) == (0, 10_000)
    assert np.quantile(found, 0.3) == pytest.approx(3000, abs=20)


def test_batches_are_joined_where_all_have_a_quantity():
    found = joined([{"a": np.ones(2), "b": np.ones(2)}, {"a": np.zeros(1)}])
    assert {name: column.tolist() for name, column in found.items()} == {"a": [1, 1, 0]}
    assert joined([]) == {}


def test_a_reference_comes_back_as_it_was_written(tmp_path):
    own = profile({"x": np.array([3.0, 1.0]), "c": np.array(["ä"] * 4, object)})
    reference.write(tmp_path, Reference({"serving_default": own}, ["wörter"]))
    found = reference.read(tmp_path)
    assert found.words == ["wörter"]
    assert found.profiles["serving_default"].numbers["x"].tolist() == [1, 3]
    assert found.profiles["serving_default"].categories == {"c": {"ä": 4}}


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"signatures": {"a": 1}})])
def test_a_damaged_reference_is_an_error(tmp_path, content):
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_text(content)
    with pytest.raises(ValueError, match=r"."):
        reference.read(tmp_path)
