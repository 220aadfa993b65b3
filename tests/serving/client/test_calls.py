"""Requests are byte for byte TensorFlow Serving's, and its responses are read."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.client import calls
from serving.client.calls import Call, ModelConfig, Signature, TensorInfo, VersionStatus, model_spec
from serving.errors import ServingError
from serving.protocol import messages


def same(call: Call, original: Any) -> None:
    """Asserts that a request is an upstream message, and goes to upstream's method."""
    ours = call.request.SerializeToString(deterministic=True)
    assert ours == original.SerializeToString(deterministic=True)
    assert type(original).FromString(ours) == original


def answer(call: Call, original: Any) -> Any:
    """Returns what is read out of an upstream response."""
    return calls.read(call, call.method.response.FromString(original.SerializeToString()))


def features(**values: Any) -> tf.train.Example:
    message = tf.train.Example()
    for name, value in values.items():
        kind = message.features.feature[name]
        (kind.float_list if isinstance(value, float) else kind.int64_list).value.append(value)
    return message


@pytest.mark.parametrize(
    ("choice", "original"),
    [
        ((None, "", ""), {}),
        ((7, "", "sig"), {"version": {"value": 7}, "signature_name": "sig"}),
        ((0, "", ""), {"version": {"value": 0}}),
        ((None, "stable", ""), {"version_label": "stable"}),
    ],
)
def test_the_spec_names_a_version_or_a_label_or_neither(choice, original):
    ours = model_spec("m", *choice)
    theirs = model_pb2.ModelSpec(name="m", **original)
    assert model_pb2.ModelSpec.FromString(ours.SerializeToString()) == theirs


def test_a_spec_with_a_version_and_a_label_is_refused():
    with pytest.raises(ValueError, match="a version or a label, not 7 and 'stable'"):
        model_spec("m", 7, "stable")


def test_predict():
    call = calls.predict(
        model_spec("m", 2, "", "sig"),
        {"x": np.array([[1, 2]], np.float32), "s": [b"a\0"]},
        ["y", "z"],
    )
    original = predict_pb2.PredictRequest(output_filter=["y", "z"])
    original.model_spec.MergeFrom(model_pb2.ModelSpec(name="m", signature_name="sig"))
    original.model_spec.version.value = 2
    original.inputs["x"].CopyFrom(tf.make_tensor_proto(np.array([[1, 2]], np.float32)))
    original.inputs["s"].CopyFrom(tf.make_tensor_proto([b"a\0"]))
    same(call, original)

    response = predict_pb2.PredictResponse()
    response.outputs["y"].CopyFrom(tf.make_tensor_proto([1, 2], tf.int32))
    [(name, values)] = answer(call, response).items()
    assert (name, values.tolist(), values.dtype) == ("y", [1, 2], np.int32)


def test_classify():
    call = calls.classify(model_spec("m", None, "stable"), [{"a": 1.5}, {"a": 2}], None)
    original = classification_pb2.ClassificationRequest()
    original.model_spec.name, original.model_spec.version_label = "m", "stable"
    original.input.example_list.examples.extend([features(a=1.5), features(a=2)])
    same(call, original)

    response = classification_pb2.ClassificationResponse()
    for rows in ([("cat", 0.75), ("dog", 0.25)], []):
        row = response.result.classifications.add()
        for label, score in rows:
            row.classes.add(label=label, score=score)
    assert answer(call, response) == [[("cat", 0.75), ("dog", 0.25)], []]


def test_a_label_that_is_not_utf_8_shows_its_bytes():
    call = calls.classify(model_spec("m", None, ""), [{"a": 1}], None)
    response = messages.ClassificationResponse()
    response.result.classifications.add().classes.add(label=b"\xe9t\xc3\xa9", score=1)
    assert answer(call, response) == [[("\\xe9té", 1)]]


def test_regress_with_a_context():
    call = calls.regress(model_spec("m", None, "", "sig"), [{"a": 1}], {"b": 0.5})
    original = regression_pb2.RegressionRequest()
    original.model_spec.name, original.model_spec.signature_name = "m", "sig"
    original.input.example_list_with_context.examples.append(features(a=1))
    original.input.example_list_with_context.context.CopyFrom(features(b=0.5))
    same(call, original)

    response = regression_pb2.RegressionResponse()
    response.result.regressions.add(value=0.1)
    response.result.regressions.add(value=-2)
    values = answer(call, response)
    assert values.dtype == np.float32
    assert values.tolist() == [np.float32(0.1), -2]


def test_multi_inference():
    tasks = {"which": "classify", "much": "regress"}
    call = calls.multi_inference(model_spec("m", 3, ""), [{"a": 1}], tasks, None)  # type: ignore[arg-type]
    original = inference_pb2.MultiInferenceRequest()
    for signature, method in tasks.items():
        task = original.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = "m", signature
        task.model_spec.version.value = 3
    original.input.example_list.examples.append(features(a=1))
    same(call, original)

    response = inference_pb2.MultiInferenceResponse()
    row = response.results.add().classification_result.classifications.add()
    row.classes.add(label="cat", score=1)
    response.results.add().regression_result.regressions.add(value=2)
    read = answer(call, response)
    assert read["which"] == [[("cat", 1.0)]]
    assert read["much"].tolist() == [2]


def test_a_task_that_is_neither_is_refused():
    with pytest.raises(ValueError, match="to classify or to regress, not 'predict'"):
        calls.multi_inference(model_spec("m", None, ""), [], {"a": "predict"}, None)  # type: ignore[dict-item]


def test_metadata():
    call = calls.metadata(model_spec("m", None, ""))
    original = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    original.model_spec.name = "m"
    same(call, original)

    signatures = get_model_metadata_pb2.SignatureDefMap()
    signature = signatures.signature_def["serving_default"]
    signature.method_name = "tensorflow/serving/predict"
    for name, dtype, shape in [
        ("a", tf.float32, [None, 3]),
        ("b", tf.string, []),
        ("c", tf.resource, None),
    ]:
        signature.inputs[name].name = f"{name}:0"
        signature.inputs[name].dtype = dtype.as_datatype_enum
        signature.inputs[name].tensor_shape.CopyFrom(tf.TensorShape(shape).as_proto())
    signature.outputs["d"].dtype = tf.qint8.as_datatype_enum
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.version.value = 12
    response.metadata["signature_def"].Pack(signatures)
    assert answer(call, response) == {
        "serving_default": Signature(
            {
                "a": TensorInfo("a:0", "float32", (None, 3)),
                "b": TensorInfo("b:0", "string", ()),
                "c": TensorInfo("c:0", "resource", None),
            },
            {"d": TensorInfo("", "qint8", ())},
            "tensorflow/serving/predict",
        )
    }
    assert answer(calls.version_of(model_spec("m", None, "stable")), response) == 12


def test_status():
    call = calls.status(model_spec("m", 1, ""))
    original = get_model_status_pb2.GetModelStatusRequest()
    original.model_spec.name, original.model_spec.version.value = "m", 1
    same(call, original)

    response = get_model_status_pb2.GetModelStatusResponse()
    response.model_version_status.add(version=2, state=30)
    response.model_version_status.add(version=1, state=50).status.error_message = "gone"
    assert answer(call, response) == [
        VersionStatus(2, "AVAILABLE", ""),
        VersionStatus(1, "END", "gone"),
    ]


def test_reload():
    call = calls.reload(
        [
            ModelConfig("a", "/models/a"),
            ModelConfig("b", "/models/b", versions=3),
            ModelConfig("c", "/models/c", versions="all"),
            ModelConfig("d", "/models/d", versions=[4, 7], labels={"stable": 4, "canary": 7}),
            ModelConfig(
                "e",
                "/models/e",
                versions=[],
                platform="other",
                logging_config=messages.LoggingConfig(sampling_config={"sampling_rate": 0.5}),
            ),
        ],
        [":tensorflow:serving:request_count"],
    )
    original = model_management_pb2.ReloadConfigRequest(
        metric_names=[":tensorflow:serving:request_count"]
    )
    configs = original.config.model_config_list.config
    for name in "abcde":
        configs.add(name=name, base_path=f"/models/{name}", model_platform="tensorflow")
    configs[0].model_version_policy.latest.num_versions = 1
    configs[1].model_version_policy.latest.num_versions = 3
    configs[2].model_version_policy.all.SetInParent()
    configs[3].model_version_policy.specific.versions.extend([4, 7])
    configs[3].version_labels.update({"stable": 4, "canary": 7})
    configs[4].model_version_policy.specific.SetInParent()
    configs[4].model_platform = "other"
    configs[4].logging_config.sampling_config.sampling_rate = 0.5
    same(call, original)

    response = model_management_pb2.ReloadConfigResponse(status={})
    response.metric.add(name="count", int64_value_increase=3)
    assert answer(call, response) == {"count": 3}
    response.status.error_code, response.status.error_message = 9, "not yet"
    with pytest.raises(ServingError) as raised:
        answer(call, response)
    assert raised.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert raised.value.message == "not yet"


def test_reload_of_nothing_is_a_list_without_models():
    empty = model_management_pb2.ReloadConfigRequest()
    empty.config.model_config_list.SetInParent()
    same(calls.reload([], ()), empty)


@pytest.mark.parametrize(("status", "healthy"), [("SERVING", True), ("NOT_SERVING", False)])
def test_health(status, healthy):
    call = calls.health("PredictionService")
    same(call, health_pb2.HealthCheckRequest(service="PredictionService"))
    assert answer(call, health_pb2.HealthCheckResponse(status=status)) is healthy


def test_a_response_that_cannot_be_read_is_an_error_like_any_other():
    call = calls.predict(model_spec("m", None, ""), {}, ())
    response = predict_pb2.PredictResponse()
    response.outputs["y"].dtype = tf.resource.as_datatype_enum
    with pytest.raises(ServingError) as raised:
        answer(call, response)
    assert raised.value.code is grpc.StatusCode.INTERNAL
    assert raised.value.message == (
        "the answer cannot be read: tensors of dtype resource are not supported"
    )
