"""Every row is scored or rejected once, whatever is wrong with some of them."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.client.calls import TensorInfo
from serving.errors import ServingError, UserError
from serving.scoring import model
from tests.serving.scoring.runs import Fake, scored, table

HALF = Fake(lambda x: x / 2 + 2)


def rejected(output):
    path = output / "_rejected.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@settings(max_examples=25, deadline=None)
@given(
    bad=st.sets(st.integers(0, 59), max_size=12),
    missing=st.sets(st.integers(0, 59), max_size=12),
    batch_size=st.integers(1, 20),
    rows_per_part=st.integers(1, 70),
)
def test_bad_rows_are_rejected_and_all_others_scored_once(
    saved, tmp_path_factory, bad, missing, batch_size, rows_per_part
):
    folder = tmp_path_factory.mktemp("rows")
    values = [None if row in missing else float(row) for row in range(60)]
    pq.write_table(pa.table({"x": pa.array(values, pa.float32())}), folder / "in.parquet")
    runner = Fake(HALF.answer, lambda x: bool(np.isin(x, list(bad)).any()), calls=[])
    done = scored(
        saved / "half_plus_two",
        [folder / "in.parquet"],
        folder / "out",
        runner,
        batch_size=batch_size,
        rows_per_part=rows_per_part,
    )
    good = [row for row in range(60) if row not in bad | missing]
    assert done == (len(good), 60 - len(good))
    found = table(folder / "out")
    assert found["row"].to_pylist() == good
    assert found["y"].to_pylist() == [row / 2 + 2 for row in good]
    lines = rejected(folder / "out")
    assert [line["row"] for line in lines] == sorted(bad | missing)
    for line in lines:
        reason = "column x has no value" if line["row"] in missing else "that is a bad row"
        assert line == {"file": str(folder / "in.parquet"), "row": line["row"], "reason": reason}
    # Halving finds a bad row in about two calls for each time that the batch can be halved.
    least = -(-60 // batch_size) + -(-60 // rows_per_part)
    assert len(runner.calls) <= least + len(bad) * (2 * math.ceil(math.log2(batch_size)) + 2)


def test_rows_of_several_shapes_share_batches_and_keep_their_order(saved, tmp_path, monkeypatch):
    lists = [[1.0] * (1 + row % 3) for row in range(50)]
    pq.write_table(pa.table({"x": lists}), tmp_path / "in.parquet")
    calls: list[int] = []

    signature = model.signatures(saved / "half_plus_two")["serving_default"]
    free = replace(signature, inputs={"x": TensorInfo("x:0", "float32", (None, None))})
    monkeypatch.setattr(model, "signatures", lambda folder: {"serving_default": free})
    scored(
        saved / "half_plus_two",
        [tmp_path / "in.parquet"],
        tmp_path / "out",
        Fake(lambda x: x.sum(axis=1), calls=calls),
        batch_size=10,
    )
    assert table(tmp_path / "out")["y"].to_pylist() == [float(1 + row % 3) for row in range(50)]
    assert calls == [10, 7, 10, 7, 10, 6]


def test_a_model_that_cannot_run_at_all_rejects_nothing(saved, tmp_path):
    class Full(Fake):
        def run(self, feeds, fetches):
            raise ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, "out of memory")

    pq.write_table(pa.table({"x": [1.0, 2.0]}), tmp_path / "in.parquet")
    arguments = (saved / "half_plus_two", [tmp_path / "in.parquet"], tmp_path / "out")
    with pytest.raises(ServingError, match="out of memory"):
        scored(*arguments, Full(HALF.answer))
    assert not list((tmp_path / "out").glob("*.parquet"))
    assert scored(*arguments, HALF) == (2, 0)


def test_answers_without_a_value_for_each_row_are_refused(saved, tmp_path):
    pq.write_table(pa.table({"x": [1.0, 2.0]}), tmp_path / "in.parquet")
    with pytest.raises(UserError, match=r"does not answer row by row: its output y has the shape"):
        scored(
            saved / "half_plus_two",
            [tmp_path / "in.parquet"],
            tmp_path / "out",
            Fake(lambda x: x[:1]),
        )


def test_a_part_that_cannot_be_written_is_said(saved, tmp_path, monkeypatch):
    def full(self, table):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    (tmp_path / "in.csv").write_text("x\n1\n2\n")
    with pytest.raises(UserError, match=r"rows 0-1 of .*in.csv .* No space left on device"):
        scored(saved / "half_plus_two", [tmp_path / "in.csv"], tmp_path / "out", HALF)
    assert not list((tmp_path / "out").glob("*part*"))


def test_a_file_that_changes_while_it_is_read_is_noticed(saved, tmp_path):
    lines = tmp_path / "in.jsonl"
    lines.write_text('{"x": 1}\n' * 20)

    def shorter(x):
        lines.write_text('{"x": 1}\n')
        return x

    with pytest.raises(UserError, match="changed while it was read"):
        scored(
            saved / "half_plus_two",
            [lines],
            tmp_path / "out",
            Fake(shorter),
            rows_per_part=5,
            batch_size=2,
        )
