"""TFRecords as TensorFlow writes them, and damaged ones."""

from __future__ import annotations

import contextlib

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from serving.protocol import tfrecord
from tests.serving.damage import damaged

RECORDS = [b"first", b"", b"\x00" * 300, bytes(range(256))]


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "records"
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in RECORDS:
            writer.write(record)
    return file


def test_records_come_back_as_tensorflow_wrote_them(path):
    assert list(tfrecord.read(path)) == RECORDS


def test_an_empty_file_has_no_records(tmp_path):
    (tmp_path / "none").write_bytes(b"")
    assert list(tfrecord.read(tmp_path / "none")) == []


def test_every_flipped_byte_is_noticed(path):
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(ValueError, match=r"is damaged|is cut off"):
            list(tfrecord.read(path))


def test_every_cut_is_noticed_unless_it_is_between_records(path):
    content = path.read_bytes()
    ends = [0]
    for record in RECORDS:
        ends.append(ends[-1] + 16 + len(record))
    for length in range(len(content)):
        path.write_bytes(content[:length])
        if length in ends:
            assert list(tfrecord.read(path)) == RECORDS[: ends.index(length)]
        else:
            with pytest.raises(ValueError, match="is truncated"):
                list(tfrecord.read(path))


@given(st.lists(st.binary(max_size=700), max_size=8))
def test_several_check_sums_are_those_of_each(contents):
    expected = [tfrecord.masked_crc(content) for content in contents]
    assert tfrecord.masked_crcs(contents).tolist() == expected


def test_records_are_read_from_where_another_ends(path):
    first, second, *_ = tfrecord.ends(path)
    assert list(tfrecord.read_from(path, first, 2)) == [(each, True) for each in RECORDS[1:]]
    content = bytearray(path.read_bytes())
    content[second + 12] ^= 1
    path.write_bytes(content)
    found = [intact for _, intact in tfrecord.read_from(path, 0, 3)]
    assert found == [True, True, False, True]


@given(st.binary(max_size=100))
def test_the_check_sum_tells_neighbours_apart(content):
    assert tfrecord.masked_crc(content) != tfrecord.masked_crc(content + b"\0")


@pytest.mark.parametrize("length", [2**40, 2**63, 2**64 - 1])
def test_a_record_longer_than_the_file_takes_no_memory(tmp_path, length):
    header = length.to_bytes(8, "little")
    sum_of_header = tfrecord.masked_crc(header).to_bytes(4, "little")
    (tmp_path / "records").write_bytes(header + sum_of_header + b"record")
    for read in (tfrecord.read, tfrecord.ends):
        with pytest.raises(ValueError, match="is truncated in record 1"):
            list(read(tmp_path / "records"))


@given(data=st.data())
def test_of_a_damaged_file_come_records_that_were_written(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in RECORDS:
            writer.write(record)
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    with contextlib.suppress(ValueError):
        for record in tfrecord.read(path):
            assert record in RECORDS
    with contextlib.suppress(ValueError):
        assert all(end <= path.stat().st_size for end in tfrecord.ends(path))
