"""What a SavedModel is asked to get its reference, and what that holds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf

from drift.reference import FILE, read
from pipelines.export import reference
from pipelines.export.reference import Asked

TEXTS = np.array([b"one two", b"two three", b"two"], object)


def task(**requests: Any) -> Any:
    """A task whose requests are the same ones of every split."""
    return SimpleNamespace(requests=lambda data, split, count: requests)


def of_data(**known: Any) -> Any:
    """A data set that knows no more."""
    return SimpleNamespace(**known)


def test_texts_come_with_the_frequent_words_of_training():
    asked = reference.of(task(serving_default={"text": TEXTS}), of_data())
    assert asked.words == ["two"]
    numbers = reference.of(task(serving_default={"x": np.zeros(3)}), of_data())
    assert numbers.words == []


def test_requests_are_batches_of_all_signatures_in_turn():
    asked = Asked({name: {"x": np.arange(40)} for name in ("a", "not exported", "b")})
    found = [log.predict_log.request for log in reference.logs(asked, {"a", "b"})]
    assert [request.model_spec.signature_name for request in found] == ["a", "b", "a", "b"]
    assert [len(tf.make_ndarray(request.inputs["x"])) for request in found] == [32, 32, 8, 8]


def test_the_reference_is_of_requests_and_answers(tmp_path):
    asked = Asked({"serving_default": {"text": TEXTS}}, ["two"])
    [log] = reference.logs(asked, {"serving_default"})
    log.predict_log.response.outputs["score"].CopyFrom(tf.make_tensor_proto([0.5, 1.0, 0.0]))
    reference.add(tmp_path, asked, [log])
    found = read(tmp_path)
    numbers = found.profiles["serving_default"].numbers
    assert found.words == ["two"]
    assert numbers["input text: characters"].tolist() == [3, 7, 9]
    assert numbers["input text: rare words"].tolist() == [0, 0.5, 0.5]
    assert numbers["answer score"].tolist() == [0, 0.5, 1]
    assert "one" not in (tmp_path / FILE).read_text(), "no text is kept"


def test_files_of_images_have_the_sizes_that_they_had_before_resizing(tmp_path):
    png = tf.io.encode_png(np.zeros((2, 2, 1), np.uint8)).numpy()
    data = of_data(original_sizes={"validation": np.array([[30, 40]])})
    asked = reference.of(task(image_bytes={"image_bytes": np.array([png], object)}), data)
    reference.add(tmp_path, asked, reference.logs(asked, {"image_bytes"}))
    numbers = read(tmp_path).profiles["image_bytes"].numbers
    assert numbers["input image_bytes: height"].tolist() == [30]
    assert numbers["input image_bytes: width"].tolist() == [40]
    assert numbers["input image_bytes: brightness"].tolist() == [0]


def test_without_requests_there_is_no_reference(tmp_path):
    asked = reference.of(task(), of_data())
    reference.add(tmp_path, asked, reference.logs(asked, {"serving_default"}))
    assert not (tmp_path / FILE).exists()
