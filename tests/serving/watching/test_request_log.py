"""Which requests of a log are read, and what of them is measured."""

from __future__ import annotations

import numpy as np
import pytest

from serving.errors import UserError
from serving.protocol import messages
from serving.watching import request_log
from tests.serving.watching.logs import MODEL, SIGNATURE, batches, entry, images, recorded, write


def test_requests_to_the_version_are_measured(tmp_path):
    own = images(50, 1)
    path = write(tmp_path / "a.tfrecord", batches(own))
    found = request_log.sample([path], MODEL, 1, recorded(), 1000)
    assert found.examples == {SIGNATURE: 50}
    assert (found.records, found.left_out, found.damaged) == (5, {}, [])
    brightness = found.values[SIGNATURE]["input images: brightness"]
    assert np.sort(brightness) == pytest.approx(np.sort(own.mean((1, 2, 3)) / 255), rel=1e-5)
    assert found.first == found.last
    assert f"{found.first:%Y-%m-%d}" == "2023-11-14"


def test_all_others_are_left_out_with_a_reason(tmp_path):
    one = images(1, 0)
    classified = messages.PredictionLog()
    classified.log_metadata.timestamp_secs = 1
    damaged = entry(one)
    damaged.predict_log.request.inputs["images"].tensor_shape.dim[0].size = 99
    path = write(
        tmp_path / "log",
        [
            entry(one),
            entry(one, version=2),
            entry(one, model="other"),
            entry(one, signature="own"),
            classified,
            b"\xff",
            damaged,
        ],
    )
    found = request_log.sample([path], MODEL, 1, recorded(), 1000)
    assert found.examples == {SIGNATURE: 1}
    assert found.left_out == {
        "answered by version 2": 1,
        "of another model": 1,
        "to own, which the reference does not have": 1,
        "not of Predict": 1,
        "cannot be read": 2,
    }


def test_a_sample_is_from_all_over_the_log_and_the_same_each_time(tmp_path):
    entries = [entry(images(1, n), time=1_700_000_000 + n) for n in range(200)]
    files = [write(tmp_path / "a", entries[:100]), write(tmp_path / "b", entries[100:])]
    one, other = (request_log.sample(files, MODEL, 1, recorded(), 40) for _ in range(2))
    assert one.examples == {SIGNATURE: 40}
    assert one.records == 200
    assert one.first is not None
    assert one.last is not None
    assert (one.last - one.first).total_seconds() > 150
    for name, column in one.values[SIGNATURE].items():
        assert column.tolist() == other.values[SIGNATURE][name].tolist()


def test_of_a_file_that_is_being_written_what_is_there_counts(tmp_path):
    path = write(tmp_path / "log", batches(images(50, 1)))
    path.write_bytes(path.read_bytes()[:-20])
    found = request_log.sample([path], MODEL, 1, recorded(), 1000)
    assert found.examples == {SIGNATURE: 40}
    assert found.damaged == [f"{path} is truncated in record 5; what is before it counts"]


def test_a_log_is_files_or_folders(tmp_path):
    one, two = (write(tmp_path / name, []) for name in ("a.tfrecord", "b.tfrecord"))
    other = write(tmp_path / "c", [])
    assert request_log.find([str(tmp_path)]) == [one, two]
    assert request_log.find([str(other), str(one)]) == [other, one]
    with pytest.raises(UserError, match="there is no file"):
        request_log.find([str(tmp_path / "none")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"has no file whose name ends in \.tfrecord"):
        request_log.find([str(tmp_path / "empty")])
