"""Export: a whole SavedModel with the network's outputs, or nothing at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.export import saved_model
from pipelines.export.logs import WARMUP_FILE, read_logs
from pipelines.export.signature import Signature
from tests.pipelines import samples


@pytest.fixture
def model() -> keras.Model:
    return samples.linear()


def test_the_saved_model_has_the_networks_outputs(linear_model, model):
    loaded = tf.saved_model.load(linear_model)
    x = np.random.default_rng(7).normal(size=(11, 3)).astype("float32")
    outputs = loaded.signatures["serving_default"](x=tf.constant(x))
    np.testing.assert_allclose(outputs["y"], model.predict(x, verbose=0), rtol=1e-6)
    np.testing.assert_allclose(outputs["y"], x @ samples.WEIGHTS + samples.BIAS, rtol=1e-5)
    larger = np.where(
        x @ (samples.WEIGHTS[:, 1] - samples.WEIGHTS[:, 0]) > 1.125, b"right", b"left"
    )
    np.testing.assert_array_equal(outputs["larger"], larger)
    outputs = loaded.signatures["text"](line=tf.constant([b"1 2 3"]))
    np.testing.assert_allclose(outputs["y"], [[8.125, 3.75]])


def test_signatures_keep_their_names_types_and_free_batch(linear_model):
    signatures = tf.saved_model.load(linear_model).signatures
    assert set(signatures) == {"serving_default", "text"}
    _, inputs = signatures["serving_default"].structured_input_signature
    assert inputs == {"x": tf.TensorSpec([None, 3], tf.float32, name="x")}
    outputs = signatures["serving_default"].structured_outputs
    assert {name: spec.dtype for name, spec in outputs.items()} == {
        "y": tf.float32,
        "larger": tf.string,
    }
    assert outputs["y"].shape.as_list() == [None, 2]


def test_warmup_records_have_one_and_two_examples_for_each_signature(linear_model):
    sizes = []
    for log in read_logs(linear_model / WARMUP_FILE):
        request, response = log.predict_log.request, log.predict_log.response
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        loaded = tf.saved_model.load(linear_model)
        name = request.model_spec.signature_name
        outputs = loaded.signatures[name](**{k: tf.constant(v) for k, v in inputs.items()})
        assert set(outputs) == set(response.outputs)
        for key, value in response.outputs.items():
            expected = tf.make_ndarray(value)
            assert outputs[key].shape == expected.shape
            if expected.dtype != object:
                np.testing.assert_allclose(outputs[key], expected, rtol=1e-5, atol=1e-6)
        sizes.append((name, len(next(iter(inputs.values())))))
    assert sizes == [("serving_default", 1), ("serving_default", 2), ("text", 1), ("text", 2)]


def test_examples_are_written_beside_the_model(linear_model):
    folder = linear_model / saved_model.EXAMPLES_FOLDER
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.txt")}
    assert found == {"left/0.txt": b"1 2 3", "right/1.txt": b"4 5 6"}


class InjectedError(Exception):
    """An injected fault."""


def fail(*arguments, **options):
    raise InjectedError


# The class that writes for TensorFlow; the public one only chooses it.
ARCHIVE: Any = type(keras.export.ExportArchive())


def failing_signature(monkeypatch, model) -> list[Signature]:
    default, text = samples.linear_signatures(model)
    return [default, replace(text, function=fail)]


def failing_write(monkeypatch, model) -> list[Signature]:
    monkeypatch.setattr(ARCHIVE, "write_out", fail)
    return samples.linear_signatures(model)


def interrupted_write(monkeypatch, model) -> list[Signature]:
    whole = ARCHIVE.write_out

    def write_out(*arguments, **options):
        whole(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(ARCHIVE, "write_out", write_out)
    return samples.linear_signatures(model)


def failing_warmup(monkeypatch, model) -> list[Signature]:
    monkeypatch.setattr(saved_model, "write_logs", fail)
    return samples.linear_signatures(model)


def failing_move(monkeypatch, model) -> list[Signature]:
    monkeypatch.setattr(saved_model.os, "replace", fail)
    return samples.linear_signatures(model)


@pytest.mark.parametrize(
    "fault",
    [failing_signature, failing_write, interrupted_write, failing_warmup, failing_move],
    ids=lambda fault: fault.__name__,
)
def test_a_failed_export_leaves_nothing(fault, model, tmp_path, monkeypatch):
    signatures = fault(monkeypatch, model)
    with pytest.raises((InjectedError, KeyboardInterrupt)):
        saved_model.saved_model(model, signatures, tmp_path / "saved_model")
    assert list(tmp_path.iterdir()) == []


def test_an_export_after_a_killed_one_is_whole(model, tmp_path):
    """A process that is killed cannot clean up; the next one does."""
    leftover = tmp_path / ".saved_model.partial"
    leftover.mkdir()
    (leftover / "junk").touch()
    folder = saved_model.saved_model(
        model, samples.linear_signatures(model), tmp_path / "saved_model"
    )
    assert list(tmp_path.iterdir()) == [folder]
    assert not (folder / "junk").exists()
    assert (folder / "saved_model.pb").is_file()


def test_an_existing_folder_is_not_replaced(model, tmp_path):
    folder = tmp_path / "saved_model"
    folder.mkdir()
    (folder / "precious").touch()
    with pytest.raises(OSError, match="not empty"):
        saved_model.saved_model(model, samples.linear_signatures(model), folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["saved_model", "precious"]
