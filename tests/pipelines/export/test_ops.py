"""Ops that a SavedModel needs, and those that model servers lack."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

from pipelines import model_registry
from pipelines.errors import ValidationError
from pipelines.export import saved_model, validation
from pipelines.export.ops import TEXT_OPS, ops, text_ops, unservable
from pipelines.export.signature import Signature
from tests.pipelines import samples


def test_ops_within_functions_are_listed_and_functions_are_not(linear_model):
    names = ops(linear_model)
    assert names == sorted(set(names))
    assert {"MatMul", "StringSplitV2", "StringToNumber", "GatherV2"} <= set(names)
    assert not any(name.startswith("__inference") for name in names)
    assert text_ops(names) == unservable(names, names) == []


def test_a_call_of_a_function_by_name_is_not_an_op(tmp_path):
    proto = saved_model_pb2.SavedModel()
    graph = proto.meta_graphs.add().graph_def
    graph.node.add(name="x", op="Placeholder")
    graph.node.add(name="y", op="double")
    body = graph.library.function.add()
    body.signature.name = "double"
    body.node_def.add(name="z", op="AddV2")
    (tmp_path / "saved_model.pb").write_bytes(proto.SerializeToString())
    assert ops(tmp_path) == ["AddV2", "Placeholder"]


CORE = ("MatMul", "GatherV2", "PyFunc", "EagerPyFunc", "PyFuncStateless")
UNSERVABLE = [
    (["MatMul", "GatherV2"], []),
    (["MatMul", "CaseFoldUTF8", "RegexSplitWithOffsets"], []),
    # TensorFlow has these, but they need a Python interpreter.
    (["PyFunc", "MatMul", "EagerPyFunc"], ["EagerPyFunc", "PyFunc"]),
    (["PyFuncStateless"], ["PyFuncStateless"]),
    # Neither TensorFlow nor the TF-Text of model servers has these.
    (["Zero", "MatMul", "Another"], ["Another", "Zero"]),
    (["TFText>FastSentencepieceTokenize"], ["TFText>FastSentencepieceTokenize"]),
]


@pytest.mark.parametrize(("names", "lacking"), UNSERVABLE)
def test_ops_that_model_servers_lack_are_listed_in_order(names, lacking):
    assert unservable(names, CORE) == lacking


@given(st.sets(st.sampled_from([*sorted(TEXT_OPS), *CORE, "Another"])))
def test_text_ops_are_those_of_tf_text_in_order(names):
    found = text_ops(names)
    assert found == sorted(found)
    assert set(found) == {name for name in names if name not in (*CORE, "Another")}
    assert not set(found) & set(unservable(names, CORE))


def exported(signature: Signature, folder: Path) -> Path:
    return saved_model.saved_model(samples.linear(), [signature], folder / "saved_model")


def test_an_export_that_calls_python_is_an_error(at_once, tmp_path):
    """It works in the process that made it, but not in a model server."""

    def doubled(x: tf.Tensor) -> dict[str, tf.Tensor]:
        y = tf.py_function(lambda value: 2 * value, [x], tf.float32)
        return {"y": tf.ensure_shape(y, [None])}

    x = np.array([1.0, 2.5], "float32")
    spec = tf.TensorSpec([None], tf.float32)
    signature = Signature("serving_default", doubled, {"x": spec}, {"x": x}, {"y": 2 * x})
    folder = exported(signature, tmp_path)
    assert "EagerPyFunc" in ops(folder)
    with pytest.raises(ValidationError) as caught:
        validation.validate(folder, [signature])
    message = "the SavedModel is not the trained model: TensorFlow Serving has no op EagerPyFunc"
    assert str(caught.value) == message


@pytest.fixture(scope="module")
def text_signature() -> Signature:
    """A tokenizer for BERT, with its outputs computed by hand."""
    tokenizer = keras_hub.models.BertTokenizer(
        vocabulary=["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", "play", "##ing", "red", "!"],
        lowercase=True,
        strip_accents=True,
    )
    split = tf.function(tokenizer)
    split(tf.constant(["a layer is exported that was called"]))

    def tokens(texts: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"tokens": split(texts).to_tensor(shape=[None, 5])}

    texts = np.array([b"Red, playing!", b"PLAY", "réd".encode()], object)
    expected = np.array([[7, 3, 5, 6, 8], [5, 0, 0, 0, 0], [7, 0, 0, 0, 0]], np.int32)
    return Signature(
        "serving_default",
        tokens,
        {"texts": tf.TensorSpec([None], tf.string)},
        {"texts": texts},
        {"tokens": expected},
        resources=[tokenizer],
    )


@pytest.fixture(scope="module")
def text_model(text_signature, tmp_path_factory) -> Path:
    return exported(text_signature, tmp_path_factory.mktemp("text"))


def test_an_export_that_tokenizes_passes_in_a_fresh_process(text_model, text_signature):
    """The process has to register TF-Text's ops before it loads."""
    report = validation.validate(text_model, [text_signature])
    assert report["differences"] == {"serving_default": {"tokens": 0.0}}
    assert report["text_ops"] == text_ops(report["ops"])
    assert {"CaseFoldUTF8", "RegexSplitWithOffsets"} < set(report["text_ops"]) < set(report["ops"])


def test_a_registered_model_requires_tf_text_only_if_it_tokenizes(
    store, text_model, linear_model, tmp_path
):
    import mlflow

    for folder, needed in ((text_model, True), (linear_model, False)):
        path = tmp_path / folder.parent.name
        path.mkdir()
        model_registry.save_model(str(path), mlflow.models.Model(), folder)
        lines = (path / "requirements.txt").read_text().splitlines()
        assert f"tensorflow=={tf.__version__}" in lines
        text = f"tensorflow-text=={metadata.version('tensorflow-text')}"
        assert (text in lines) == needed
