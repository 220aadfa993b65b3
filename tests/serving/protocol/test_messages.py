"""The table of messages against the originals, field by field and over the wire."""

from __future__ import annotations

import pytest
from google.protobuf import any_pb2, wrappers_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from grpc_health.v1 import health_pb2
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    logging_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
    status_pb2,
)
from tensorflow_serving.config import (
    file_system_storage_path_source_pb2,
    log_collector_config_pb2,
    logging_config_pb2,
    model_server_config_pb2,
)

from serving.protocol import messages

POLICY = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy
ORIGINALS = {
    "Dim": tensor_shape_pb2.TensorShapeProto.Dim,
    "TensorShapeProto": tensor_shape_pb2.TensorShapeProto,
    "TensorProto": tensor_pb2.TensorProto,
    "TensorInfo": meta_graph_pb2.TensorInfo,
    "SignatureDef": meta_graph_pb2.SignatureDef,
    "MetaInfoDef": meta_graph_pb2.MetaGraphDef.MetaInfoDef,
    "MetaGraphDef": meta_graph_pb2.MetaGraphDef,
    "SavedModel": saved_model_pb2.SavedModel,
    "Any": any_pb2.Any,
    "Int64Value": wrappers_pb2.Int64Value,
    "ModelSpec": model_pb2.ModelSpec,
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "LogCollectorConfig": log_collector_config_pb2.LogCollectorConfig,
    "SamplingConfig": logging_config_pb2.SamplingConfig,
    "LoggingConfig": logging_config_pb2.LoggingConfig,
    "LogMetadata": logging_pb2.LogMetadata,
    "PredictLog": prediction_log_pb2.PredictLog,
    "PredictionLog": prediction_log_pb2.PredictionLog,
    "GetModelMetadataRequest": get_model_metadata_pb2.GetModelMetadataRequest,
    "GetModelMetadataResponse": get_model_metadata_pb2.GetModelMetadataResponse,
    "SignatureDefMap": get_model_metadata_pb2.SignatureDefMap,
    "GetModelStatusRequest": get_model_status_pb2.GetModelStatusRequest,
    "StatusProto": status_pb2.StatusProto,
    "ModelVersionStatus": get_model_status_pb2.ModelVersionStatus,
    "GetModelStatusResponse": get_model_status_pb2.GetModelStatusResponse,
    "BytesList": feature_pb2.BytesList,
    "FloatList": feature_pb2.FloatList,
    "Int64List": feature_pb2.Int64List,
    "Feature": feature_pb2.Feature,
    "Features": feature_pb2.Features,
    "Example": example_pb2.Example,
    "ExampleList": input_pb2.ExampleList,
    "ExampleListWithContext": input_pb2.ExampleListWithContext,
    "Input": input_pb2.Input,
    "Class": classification_pb2.Class,
    "Classifications": classification_pb2.Classifications,
    "ClassificationResult": classification_pb2.ClassificationResult,
    "ClassificationRequest": classification_pb2.ClassificationRequest,
    "ClassificationResponse": classification_pb2.ClassificationResponse,
    "Regression": regression_pb2.Regression,
    "RegressionResult": regression_pb2.RegressionResult,
    "RegressionRequest": regression_pb2.RegressionRequest,
    "RegressionResponse": regression_pb2.RegressionResponse,
    "InferenceTask": inference_pb2.InferenceTask,
    "InferenceResult": inference_pb2.InferenceResult,
    "MultiInferenceRequest": inference_pb2.MultiInferenceRequest,
    "MultiInferenceResponse": inference_pb2.MultiInferenceResponse,
    "Latest": POLICY.Latest,
    "All": POLICY.All,
    "Specific": POLICY.Specific,
    "ServableVersionPolicy": POLICY,
    "ModelConfig": model_server_config_pb2.ModelConfig,
    "ModelConfigList": model_server_config_pb2.ModelConfigList,
    "ModelServerConfig": model_server_config_pb2.ModelServerConfig,
    "ReloadConfigRequest": model_management_pb2.ReloadConfigRequest,
    "Metric": model_management_pb2.Metric,
    "ReloadConfigResponse": model_management_pb2.ReloadConfigResponse,
    "HealthCheckRequest": health_pb2.HealthCheckRequest,
    "HealthCheckResponse": health_pb2.HealthCheckResponse,
}


LABEL = "tensorflow.serving.Class.label"


def described(descriptor: Descriptor) -> dict[int, tuple]:
    """Returns each field by number: name, type on the wire, repeated or not, and what is inside."""
    fields: dict[int, tuple] = {}
    for field in descriptor.fields:
        inside: object = None
        if field.message_type:
            entry = field.message_type.GetOptions().map_entry
            inside = described(field.message_type) if entry else field.message_type.name
        number = FieldDescriptor.TYPE_INT32  # An enum is written as one.
        kind = number if field.type == FieldDescriptor.TYPE_ENUM else field.type
        if field.full_name == LABEL:
            kind = FieldDescriptor.TYPE_BYTES  # As a string is written.
        fields[field.number] = (field.name, kind, field.is_repeated, inside)
    return fields


def test_every_message_of_the_table_has_its_original():
    assert set(messages.CLASSES) == set(ORIGINALS)


@pytest.mark.parametrize("name", ORIGINALS)
def test_each_field_is_the_original_one(name):
    ours = described(messages.CLASSES[name].DESCRIPTOR)
    original = described(ORIGINALS[name].DESCRIPTOR)
    assert ours == {number: original.get(number) for number in ours}


def test_what_is_left_out_of_the_originals_is_known():
    """A field that the originals gain is read here first."""
    left_out = {
        f"{name}.{field.name}"
        for name, original in ORIGINALS.items()
        for field in original.DESCRIPTOR.fields
        if field.name not in messages.CLASSES[name].DESCRIPTOR.fields_by_name
    }
    assert left_out == {
        "Dim.name",
        *(f"MetaGraphDef.{each}" for each in ("asset_file_def", "collection_def", "graph_def")),
        *("MetaGraphDef.object_graph_def", "MetaGraphDef.saver_def"),
        *("MetaInfoDef.any_info", "MetaInfoDef.function_aliases", "MetaInfoDef.meta_graph_version"),
        *("MetaInfoDef.stripped_default_attrs", "MetaInfoDef.stripped_op_list"),
        *("MetaInfoDef.tensorflow_git_version", "MetaInfoDef.tensorflow_version"),
        *(f"LogMetadata.{each}" for each in ("dc", "request_criticality", "request_origin")),
        *("LoggingConfig.custom_logging_config", "SamplingConfig.per_task_sampling_configs"),
        *("LogMetadata.safe_aggregation_privacy_key", "LogMetadata.saved_model_tags"),
        "ModelConfig.model_type",
        "ModelServerConfig.custom_model_config",
        "PredictRequest.predict_streamed_options",
        "PredictionLog.classify_log",
        "PredictionLog.multi_inference_log",
        "PredictionLog.predict_streamed_log",
        "PredictionLog.regress_log",
        "PredictionLog.session_run_log",
        "PredictRequest.client_id",
        "PredictRequest.request_options",
        "SavedModel.saved_model_schema_version",
        "SignatureDef.defaults",
        "TensorInfo.coo_sparse",
        "TensorInfo.composite_tensor",
        "TensorProto.float8_val",
        "TensorProto.resource_handle_val",
        "TensorProto.variant_val",
        "TensorProto.version_number",
    }


# Numbers of an enum by the name of the field, which is an int32 in the table.
ENUMS = {
    "error_code": range(17),
    "state": [0, 10, 20, 30, 40, 50],
    "status": health_pb2.HealthCheckResponse.ServingStatus.values(),
}


def values(field: FieldDescriptor) -> st.SearchStrategy:
    """Values of a field's type that the original takes as well."""
    if field.message_type:
        return filled(field.message_type)
    if field.name in ENUMS:
        return st.sampled_from(ENUMS[field.name])
    if field.full_name == LABEL:
        return st.text(max_size=5).map(str.encode)
    return {
        FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
        FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
        FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
        FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
        FieldDescriptor.TYPE_FLOAT: st.floats(width=32, allow_nan=False),
        FieldDescriptor.TYPE_DOUBLE: st.floats(allow_nan=False),
        FieldDescriptor.TYPE_BOOL: st.booleans(),
        FieldDescriptor.TYPE_STRING: st.text(max_size=5),
        FieldDescriptor.TYPE_BYTES: st.binary(max_size=5),
    }[field.type]


def alternatives(descriptor: Descriptor) -> list[list[str]]:
    """Returns the fields of which the original holds one at most."""
    original = ORIGINALS[descriptor.name].DESCRIPTOR
    return [[field.name for field in oneof.fields] for oneof in original.oneofs]


@st.composite
def filled(draw: st.DrawFn, descriptor: Descriptor) -> dict:
    """Messages of ours, as a dictionary that the class takes, with any fields filled in."""
    fields: dict[str, st.SearchStrategy] = {}
    for field in descriptor.fields:
        if field.message_type and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            fields[field.name] = st.dictionaries(st.text(max_size=3), values(value), max_size=2)
        elif field.is_repeated:
            fields[field.name] = st.lists(values(field), max_size=3)
        else:
            fields[field.name] = values(field)
    for names in alternatives(descriptor):
        chosen = draw(st.sampled_from(names))
        fields = {name: strategy for name, strategy in fields.items() if name not in names} | (
            {chosen: fields[chosen]} if chosen in fields else {}
        )
    return draw(st.fixed_dictionaries({}, optional=fields))


def fill(message, content: dict) -> None:
    for name, value in content.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.message_type and field.message_type.GetOptions().map_entry:
            for key, entry in value.items():
                if field.message_type.fields_by_name["value"].message_type:
                    fill(getattr(message, name)[key], entry)
                else:
                    getattr(message, name)[key] = entry
        elif field.is_repeated and field.message_type:
            for entry in value:
                fill(getattr(message, name).add(), entry)
        elif field.is_repeated:
            getattr(message, name).extend(value)
        elif field.message_type:
            getattr(message, name).SetInParent()
            fill(getattr(message, name), value)
        else:
            setattr(message, name, value)


@pytest.mark.parametrize("name", ORIGINALS)
@given(data=st.data())
def test_messages_cross_the_wire_in_both_directions(name, data):
    ours = messages.CLASSES[name]()
    fill(ours, data.draw(filled(ours.DESCRIPTOR)))
    wire = ours.SerializeToString(deterministic=True)
    original = ORIGINALS[name].FromString(wire)
    assert original.SerializeToString(deterministic=True) == wire
    assert messages.CLASSES[name].FromString(original.SerializeToString()) == ours


def test_a_version_label_crosses_the_wire():
    ours = messages.CLASSES["ModelSpec"](name="m", version_label="stable")
    original = model_pb2.ModelSpec.FromString(ours.SerializeToString())
    assert original.version_label == "stable"
    assert messages.CLASSES["ModelSpec"].FromString(original.SerializeToString()) == ours


def test_any_message_in_an_original_answer_is_found_by_its_type():
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signatures.signature_def["serving_default"].inputs["x"].name = "x:0"
    original = get_model_metadata_pb2.GetModelMetadataResponse()
    original.metadata["signature_def"].Pack(signatures)
    ours = messages.GetModelMetadataResponse.FromString(original.SerializeToString())
    packed = ours.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    unpacked = messages.SignatureDefMap.FromString(packed.value)
    assert unpacked.signature_def["serving_default"].inputs["x"].name == "x:0"
