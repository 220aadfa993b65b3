"""Which ops of a SavedModel reach beyond its request, wherever they hide."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

from serving.rollout.unsafe_ops import unsafe_ops
from tests.serving import saved_models
from tests.serving.damage import damaged

NAMES = tf.TensorSpec([None], tf.string)


def lines(names: tf.Tensor) -> tf.Tensor:
    return tf.data.TextLineDataset(names).reduce("", lambda before, line: before + line)


def written(names: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.io.write_file(names[0], "content")]):
        return tf.identity(names)


def printed(names: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.print(names, output_stream="file:///tmp/printed")]):
        return tf.identity(names)


def checkpoint(names: tf.Tensor) -> tf.Tensor:
    saved = tf.raw_ops.SaveV2(
        prefix=names[0], tensor_names=["x"], shape_and_slices=[""], tensors=[tf.constant(1.0)]
    )
    with tf.control_dependencies([saved]):
        return tf.identity(names)


@pytest.mark.parametrize(
    ("answer", "ops"),
    [
        (tf.identity, ()),
        (lambda names: tf.map_fn(tf.io.read_file, names), ("ReadFile",)),
        (lambda names: tf.cond(tf.size(names) > 1, lambda: written(names), lambda: names), None),
        (lambda names: tf.io.matching_files(names), ("MatchingFiles",)),
        (lambda names: tf.py_function(lambda x: x, [names], tf.string), ("EagerPyFunc",)),
        (lambda names: tf.numpy_function(lambda x: x, [names], tf.string), ("PyFunc",)),
        (printed, ("PrintV2",)),
        (lines, ("TextLineDataset",)),
        (checkpoint, ("SaveV2",)),
        (lambda names: tf.raw_ops.RestoreV2(
            prefix=names[0], tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
        )[0], ("RestoreV2",)),
    ],
)  # fmt: skip
def test_what_a_signature_calls_is_found(answer: Callable[[Any], Any], ops, tmp_path):
    path = saved_models.stateless(
        tmp_path / "model", NAMES, serving_default=lambda names: {"answer": answer(names)}
    )
    assert unsafe_ops(path) == (("WriteFile",) if ops is None else ops)


def test_variables_and_tables_of_assets_are_safe(tmp_path):
    assert unsafe_ops(saved_models.half_plus_two(tmp_path / "variables")) == ()
    words = tmp_path / "words.txt"
    words.write_text("one\ntwo\n")

    class Table(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            index = tf.lookup.TextFileIndex
            initializer = tf.lookup.TextFileInitializer(
                str(words), tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER
            )
            self.table = tf.lookup.StaticHashTable(initializer, -1)

        @tf.function(input_signature=[NAMES])
        def __call__(self, words):
            return {"ids": self.table.lookup(words)}

    module = Table()
    tf.saved_model.save(module, str(tmp_path / "table"), signatures=module.__call__)
    assert unsafe_ops(tmp_path / "table") == ()


def test_an_op_that_no_signature_calls_counts_too(tmp_path):
    path = saved_models.half_plus_two(tmp_path / "model")
    file = path / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    model.meta_graphs[0].graph_def.library.function[0].node_def.add(name="x", op="WriteFile")
    file.write_bytes(model.SerializeToString())
    assert unsafe_ops(path) == ("WriteFile",)


@pytest.mark.parametrize("content", [b"\xff" * 20, b"text"])
def test_a_file_that_is_no_saved_model_is_an_error(content, tmp_path: Path):
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ValueError, match=r"^saved_model\.pb is not a SavedModel"):
        unsafe_ops(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved_models.half_plus_two(tmp_path_factory.mktemp("damage") / "half_plus_two")


@settings(max_examples=30)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(model, tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    content = data.draw(damaged((model / "saved_model.pb").read_bytes()))
    (folder / "saved_model.pb").write_bytes(content)
    with contextlib.suppress(ValueError):
        assert isinstance(unsafe_ops(folder), tuple)
