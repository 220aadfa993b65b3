"""A network's summary as text."""

from __future__ import annotations

import os

import keras
import pytest

from architectures.summary import summary


@pytest.mark.parametrize("columns", ["40", "80", "300"])
def test_a_summary_counts_parameters_whatever_the_width_of_the_console(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    header = next(line for line in summary(model, 100).splitlines() if "Layer" in line)
    assert header.split("┃")[-2].strip() == "Param #"
    assert len(header) == 100
    assert os.environ["COLUMNS"] == columns
    monkeypatch.delenv("COLUMNS")
    assert "Param #" in summary(model, 100)
    assert "COLUMNS" not in os.environ
