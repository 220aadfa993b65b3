"""The messages of TensorFlow Serving's API that a client needs, without TensorFlow.

The table below repeats names and numbers of the fields from tensorflow_serving/apis and
tensorflow/core; enums stand as int32, which is the same on the wire. A test compares every field
with the original.
"""

from __future__ import annotations

from serving import schema

_SCHEMA = """
message tensorflow.Dim
  int64 size = 1
message tensorflow.TensorShapeProto
  repeated tensorflow.Dim dim = 2
  bool unknown_rank = 3
message tensorflow.TensorProto
  int32 dtype = 1
  tensorflow.TensorShapeProto tensor_shape = 2
  bytes tensor_content = 4
  repeated int32 half_val = 13
  repeated float float_val = 5
  repeated double double_val = 6
  repeated int32 int_val = 7
  repeated bytes string_val = 8
  repeated float scomplex_val = 9
  repeated int64 int64_val = 10
  repeated bool bool_val = 11
  repeated double dcomplex_val = 12
  repeated uint32 uint32_val = 16
  repeated uint64 uint64_val = 17
message tensorflow.TensorInfo
  string name = 1
  int32 dtype = 2
  tensorflow.TensorShapeProto tensor_shape = 3
message tensorflow.SignatureDef
  map tensorflow.TensorInfo inputs = 1
  map tensorflow.TensorInfo outputs = 2
  string method_name = 3
message tensorflow.serving.Any
  string type_url = 1
  bytes value = 2
message tensorflow.serving.Int64Value
  int64 value = 1
message tensorflow.serving.ModelSpec
  string name = 1
  tensorflow.serving.Int64Value version = 2
  string version_label = 4
  string signature_name = 3
message tensorflow.serving.PredictRequest
  tensorflow.serving.ModelSpec model_spec = 1
  map tensorflow.TensorProto inputs = 2
  repeated string output_filter = 3
message tensorflow.serving.PredictResponse
  tensorflow.serving.ModelSpec model_spec = 2
  map tensorflow.TensorProto outputs = 1
message tensorflow.serving.GetModelMetadataRequest
  tensorflow.serving.ModelSpec model_spec = 1
  repeated string metadata_field = 2
message tensorflow.serving.GetModelMetadataResponse
  tensorflow.serving.ModelSpec model_spec = 1
  map tensorflow.serving.Any metadata = 2
message tensorflow.serving.SignatureDefMap
  map tensorflow.SignatureDef signature_def = 1
message tensorflow.serving.GetModelStatusRequest
  tensorflow.serving.ModelSpec model_spec = 1
message tensorflow.serving.StatusProto
  int32 error_code = 1
  string error_message = 2
message tensorflow.serving.ModelVersionStatus
  int64 version = 1
  int32 state = 2
  tensorflow.serving.StatusProto status = 3
message tensorflow.serving.GetModelStatusResponse
  repeated tensorflow.serving.ModelVersionStatus model_version_status = 1
"""

CLASSES = schema.classes(_SCHEMA)
PredictRequest = CLASSES["PredictRequest"]
PredictResponse = CLASSES["PredictResponse"]
GetModelMetadataRequest = CLASSES["GetModelMetadataRequest"]
GetModelMetadataResponse = CLASSES["GetModelMetadataResponse"]
GetModelStatusRequest = CLASSES["GetModelStatusRequest"]
GetModelStatusResponse = CLASSES["GetModelStatusResponse"]
SignatureDefMap = CLASSES["SignatureDefMap"]
