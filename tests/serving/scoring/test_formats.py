"""Each format gives the same rows, however it is divided into shards."""

from __future__ import annotations

import contextlib
import csv
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serving.client.calls import Signature, TensorInfo
from serving.errors import UserError
from serving.protocol import tfrecord
from serving.protocol.examples import example
from serving.scoring import sources
from serving.scoring.columns import mapped
from serving.scoring.sources import Source
from tests.serving.damage import damaged
from tests.serving.scoring.runs import scored, table
from tests.serving.scoring.test_shard import HALF, rejected

ROWS: list[dict[str, Any]] = [
    {"x": row / 4, "name": f'a "{row}", b\nc' if row % 3 else "é", "n": row} for row in range(23)
]


def write(path, rows=ROWS):
    """Writes rows in the format that a name says."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=4)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        write_records(path, [example(row).SerializeToString() for row in rows])
    return path


def write_records(path, contents):
    with path.open("wb") as file:
        for content in contents:
            header = len(content).to_bytes(8, "little")
            for part in (header, content):
                file.write(part)
                file.write(tfrecord.masked_crc(part).to_bytes(4, "little"))


NAMES = ["in.parquet", "in.csv", "in.jsonl", "in.tfrecord"]


@pytest.mark.parametrize("name", NAMES)
def test_the_rows_of_each_format_are_scored(saved, tmp_path, name):
    path = write(tmp_path / name)
    assert scored(saved / "half_plus_two", [path], tmp_path / "out", HALF, rows_per_part=5) == (
        23,
        0,
    )
    found = table(tmp_path / "out")
    assert found.column_names[:2] == ["file", "row"]
    assert set(found.column_names[2:]) == {"x", "name", "n", "y"}
    assert found["file"].unique().to_pylist() == [str(path)]
    assert found["row"].to_pylist() == list(range(23))
    assert found["name"].to_pylist() == [row["name"] for row in ROWS]
    assert found["y"].to_pylist() == [row["x"] / 2 + 2 for row in ROWS]
    kept = [str(row["n"]) for row in ROWS] if name == "in.csv" else [row["n"] for row in ROWS]
    assert found["n"].to_pylist() == kept


@settings(max_examples=20, deadline=None)
@given(
    rows=st.lists(st.text(max_size=5), min_size=1, max_size=30),
    size=st.integers(1, 12),
    chunk=st.integers(1, 9),
)
@pytest.mark.parametrize("name", NAMES)
def test_shards_hold_each_row_once_and_in_order(tmp_path_factory, name, rows, size, chunk):
    if name == "in.csv":  # An empty cell is a missing value, and a bare \r ends a line.
        rows = [text.replace("\r", "") + "." for text in rows]
    path = write(tmp_path_factory.mktemp("rows") / name, [{"text": text} for text in rows])
    [source] = sources.find([str(path)])
    reader, columns = sources.reader(source.format), source.columns()
    found, place = [], 0
    for number, (start, stop, offset) in enumerate(source.ranges(size)):
        assert start == place
        for each in reader.read(source.shard(number, start, stop, offset), columns, chunk):
            assert (each.start, 0 < each.size <= chunk, each.faults) == (place, True, {})
            place += each.size
            values = each.columns["text"]
            found += values.to_pylist() if isinstance(values, pa.Array) else values
        assert place == stop
    assert [text or "" for text in found] == rows


def test_a_large_row_group_becomes_several_shards(tmp_path):
    pq.write_table(pa.table({"x": np.arange(1000.0)}), tmp_path / "in.parquet", row_group_size=400)
    ranges = list(Source(str(tmp_path / "in.parquet"), "parquet").ranges(150))
    assert ranges == [(start, stop, 0) for start, stop in
                      [(0, 150), (150, 300), (300, 400), (400, 550), (550, 700), (700, 800),
                       (800, 950), (950, 1000)]]  # fmt: skip


def test_columns_of_csv_are_what_their_cells_look_like(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("id,price,word,none,text\n1,2.5,x,,7\n2,,3,,8\n")
    columns = Source(str(path), "csv").columns()
    assert [column.kind for column in columns] == ["integer", "float", "text", "text", "integer"]
    # A column with the name of an input is read as it needs, whatever it looks like.
    text = {"serving_default": Signature({"text": TensorInfo("t:0", "string", (None,))}, {}, "")}
    assert mapped("m", text, columns).inputs["text"].name == "text"
    assert mapped("m", text, columns[:3]).inputs["text"].name == "word"
    assert {column.type for column in columns} == {pa.string()}


def test_several_files_have_the_columns_that_are_needed(saved, tmp_path):
    for number, text in enumerate(("x,n\n1,a\n2,b\n", "n,x,more\nc,0.5,d\n", "x\n1\n"), 1):
        (tmp_path / f"{number}.csv").write_text(text)
    first, second, third = (tmp_path / f"{number}.csv" for number in (1, 2, 3))
    assert scored(saved / "half_plus_two", [first, second], tmp_path / "out", HALF) == (3, 0)
    assert table(tmp_path / "out").select(["row", "n", "y"]).to_pylist() == [
        {"row": 0, "n": "a", "y": 2.5},
        {"row": 1, "n": "b", "y": 3.0},
        {"row": 0, "n": "c", "y": 2.25},
    ]
    with pytest.raises(
        UserError, match=r"1.csv has the column n \(text\), and .*3.csv has no such"
    ):
        scored(saved / "half_plus_two", [first, third], tmp_path / "other", HALF)
    options = {"keep": ["x"]}
    assert scored(saved / "half_plus_two", [first, third], tmp_path / "new", HALF, **options) == (
        3,
        0,
    )


def test_malformed_rows_of_csv_are_rejected(saved, tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes(b"\xef\xbb\xbfid;x\r\na;1\r\nb;two\r\n\r\nc\r\n\xff;3\r\ne;\r\nf;4\r\n")
    assert scored(saved / "half_plus_two", [path], tmp_path / "out", HALF) == (2, 4)
    assert table(tmp_path / "out")["id"].to_pylist() == ["a", "f"]
    assert [(line["row"], line["reason"]) for line in rejected(tmp_path / "out")] == [
        (1, "column x does not hold float32: 'two'"),
        (2, "the row has 1 cells, and the header 2"),
        (3, "the row is not in UTF-8"),
        (4, "column x has no value"),
    ]


def test_malformed_json_lines_are_rejected(saved, tmp_path):
    path = tmp_path / "in.jsonl"
    lines = ['{"x": 1, "id": 7}', '{"x": 1', "[1]", "", '{"id": 8}', '{"x": "1"}', '{"x": [1]}',
             '{"x": 2, "id": "no number"}', '{"x": 3}']  # fmt: skip
    path.write_text("\n".join(lines))
    assert scored(saved / "half_plus_two", [path], tmp_path / "out", HALF) == (2, 6)
    assert table(tmp_path / "out").select(["row", "id", "y"]).to_pylist() == [
        {"row": 0, "id": 7, "y": 2.5},
        {"row": 7, "id": None, "y": 3.5},
    ]
    reasons = {line["row"]: line["reason"] for line in rejected(tmp_path / "out")}
    assert reasons[1].startswith("is not JSON: ")
    assert reasons[2] == "is no object: [1]"
    assert reasons[3] == "column x has no value"
    assert reasons[6] == "column id is no int64: no number"


def test_a_damaged_record_is_rejected_and_a_truncated_file_refused(saved, tmp_path):
    path = write(tmp_path / "in.tfrecord")
    content = bytearray(path.read_bytes())
    at = content.index(b"name") + 2
    content[at] ^= 1
    path.write_bytes(content)
    assert scored(saved / "half_plus_two", [path], tmp_path / "out", HALF) == (22, 1)
    [line] = rejected(tmp_path / "out")
    assert line["reason"] == "the record's checksum does not match"
    path.write_bytes(content[:-1])
    with pytest.raises(UserError, match="is truncated in record 23"):
        scored(saved / "half_plus_two", [path], tmp_path / "other", HALF)


def test_records_of_something_else_are_rejected(saved, tmp_path):
    good = example({"x": 1.0}).SerializeToString()
    write_records(tmp_path / "in.tfrecord", [good, b"\xffno example", good])
    assert scored(saved / "half_plus_two", [tmp_path / "in.tfrecord"], tmp_path / "out", HALF) == (
        2,
        1,
    )
    assert rejected(tmp_path / "out")[0]["reason"] == "the record is no tf.Example"


def test_a_folder_of_images_is_scored_file_by_file(saved, tmp_path):
    images = tmp_path / "images"
    (images / "b").mkdir(parents=True)
    for name, color in (("a.png", "white"), ("b/c.jpg", "black"), ("d.webp", "white")):
        Image.new("RGB", (8, 8), color).save(images / name)
    (images / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbut no more")
    (images / "text.gif").write_text("no image")
    assert scored(saved / "brightness", [images], tmp_path / "out") == (3, 2)
    found = table(tmp_path / "out").select(["file", "row", "classes"]).to_pylist()
    assert found == [
        {"file": str(images / name), "row": 0, "classes": answer}
        for name, answer in (("a.png", "bright"), ("b/c.jpg", "dark"), ("d.webp", "bright"))
    ]
    reasons = {line["file"]: line["reason"] for line in rejected(tmp_path / "out")}
    assert reasons.keys() == {str(images / "broken.png"), str(images / "text.gif")}
    assert "is no image" in reasons[str(images / "text.gif")]


def test_images_within_parquet_are_found_as_data_sets_store_them(saved, tmp_path):
    Image.new("RGB", (8, 8), "white").save(tmp_path / "white.png")
    encoded = (tmp_path / "white.png").read_bytes()
    rows = [{"image": {"bytes": encoded, "path": "white.png"}, "label": 1}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    assert scored(saved / "brightness", [tmp_path / "in.parquet"], tmp_path / "out") == (1, 0)
    found = table(tmp_path / "out")
    assert found.column_names == ["file", "row", "label", "classes", "probabilities"]
    assert found["classes"].to_pylist() == ["bright"]


def test_parquet_that_is_none_is_refused(tmp_path):
    (tmp_path / "in.parquet").write_text("x")
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        Source(str(tmp_path / "in.parquet"), "parquet").columns()


def test_a_header_without_names_is_refused(tmp_path):
    for text in ("", "a,a\n1,2\n", "a,\n1,2\n"):
        (tmp_path / "in.csv").write_text(text)
        with pytest.raises(UserError, match="a different name for each column"):
            Source(str(tmp_path / "in.csv"), "csv").columns()


@settings(max_examples=30, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_refused_or_each_row_is_there_or_rejected(tmp_path_factory, name, data):
    path = write(tmp_path_factory.getbasetemp() / name, ROWS[:6])
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    with contextlib.suppress(UserError):
        [source] = sources.find([str(path)])
        reader, columns = sources.reader(source.format), source.columns()
        for number, (start, stop, offset) in enumerate(source.ranges(4)):
            chunks = list(reader.read(source.shard(number, start, stop, offset), columns, 3))
            assert sum(chunk.size for chunk in chunks) == stop - start
