"""Growth with the data: its files, what a size costs, and the table."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from benchmarks import growth
from benchmarks.__main__ import main
from benchmarks.growth import KINDS, Growth
from pipelines.cli import parse

SMALL = Growth("texts", 1000, 10_000, 9.0, 8.0, 1.5, 90.0, 100 << 20, 100 << 20, 900 << 20)
LARGE = replace(SMALL, examples=100_000, peak_bytes=1000 << 20)


def test_a_slope_is_of_bytes_and_of_logarithms():
    assert growth.bytes_of_an_example(SMALL, LARGE) == pytest.approx((900 << 20) / 99_000)
    assert growth.exponent(SMALL, LARGE) == pytest.approx(0.5)
    assert growth.exponent(SMALL, replace(SMALL, examples=5000)) == 0


def test_the_table_compares_a_size_with_the_one_before():
    console = Console(width=140)
    with console.capture() as captured:
        console.print(growth.table([SMALL, LARGE, replace(SMALL, name="series")]))
    first, second, third = captured.get().splitlines()[-3:]
    assert first.split()[-1] == third.split()[-1] == "900"
    assert second.split()[-4:] == ["1,000", "900", "9,533", "0.5"]
    (line, other) = growth.figure([SMALL, LARGE, replace(SMALL, name="series")]).axes[0].lines
    assert np.asarray(line.get_ydata()).tolist() == [100, 1000]
    assert other.get_label() == "series"


@pytest.mark.parametrize("name", KINDS)
def test_data_are_written_for_their_pipeline(name, tmp_path):
    dataset = KINDS[name].write(tmp_path, 20)
    pipeline, config = parse([*KINDS[name].command.split(), f"--dataset={dataset}"])
    assert config.dataset == str(dataset)
    written = len(list(dataset.rglob("*.jpg"))) or len(dataset.read_text().splitlines())
    assert written - (dataset.suffix == ".csv") == 20
    assert growth._size(dataset) > 0
    assert pipeline in KINDS[name].command


def test_a_size_is_read_trained_on_and_evaluated(tmp_path):
    dataset = KINDS["series"].write(tmp_path, 400)
    costs = growth._costs(KINDS["series"].command, str(dataset), time.time())
    found = Growth("series", 400, growth._size(dataset), *costs)
    assert found.peak_bytes >= found.start_bytes > 0
    assert min(found.start_seconds, found.start_cpu_seconds, found.score_microseconds) > 0


def test_sizes_are_large_enough_to_be_split(capsys):
    assert main(["growth", "--sizes", "10"]) == 2
    assert "--sizes must be at least 100, not 10" in capsys.readouterr().err
