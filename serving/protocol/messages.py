"""The messages of TensorFlow Serving's API that a client needs, without TensorFlow.

The table below has the names and numbers of the fields of tensorflow_serving/apis,
tensorflow_serving/config, tensorflow/core and grpc/health/v1. Enums are declared as int32,
nested messages at top level, and members of a oneof as fields of which a writer sets one, all of
which have the same wire format. So have strings and bytes: the label of a class is bytes here, as a
model may return any. A test compares every field with the original.
"""

from __future__ import annotations

from serving.protocol import schema

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
message tensorflow.MetaInfoDef
  repeated string tags = 4
message tensorflow.MetaGraphDef
  tensorflow.MetaInfoDef meta_info_def = 1
  map tensorflow.SignatureDef signature_def = 5
message tensorflow.SavedModel
  repeated tensorflow.MetaGraphDef meta_graphs = 2
message tensorflow.BytesList
  repeated bytes value = 1
message tensorflow.FloatList
  repeated float value = 1
message tensorflow.Int64List
  repeated int64 value = 1
message tensorflow.Feature
  tensorflow.BytesList bytes_list = 1
  tensorflow.FloatList float_list = 2
  tensorflow.Int64List int64_list = 3
message tensorflow.Features
  map tensorflow.Feature feature = 1
message tensorflow.Example
  tensorflow.Features features = 1
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
message tensorflow.serving.ExampleList
  repeated tensorflow.Example examples = 1
message tensorflow.serving.ExampleListWithContext
  repeated tensorflow.Example examples = 1
  tensorflow.Example context = 2
message tensorflow.serving.Input
  tensorflow.serving.ExampleList example_list = 1
  tensorflow.serving.ExampleListWithContext example_list_with_context = 2
message tensorflow.serving.Class
  bytes label = 1
  float score = 2
message tensorflow.serving.Classifications
  repeated tensorflow.serving.Class classes = 1
message tensorflow.serving.ClassificationResult
  repeated tensorflow.serving.Classifications classifications = 1
message tensorflow.serving.ClassificationRequest
  tensorflow.serving.ModelSpec model_spec = 1
  tensorflow.serving.Input input = 2
message tensorflow.serving.ClassificationResponse
  tensorflow.serving.ModelSpec model_spec = 2
  tensorflow.serving.ClassificationResult result = 1
message tensorflow.serving.Regression
  float value = 1
message tensorflow.serving.RegressionResult
  repeated tensorflow.serving.Regression regressions = 1
message tensorflow.serving.RegressionRequest
  tensorflow.serving.ModelSpec model_spec = 1
  tensorflow.serving.Input input = 2
message tensorflow.serving.RegressionResponse
  tensorflow.serving.ModelSpec model_spec = 2
  tensorflow.serving.RegressionResult result = 1
message tensorflow.serving.InferenceTask
  tensorflow.serving.ModelSpec model_spec = 1
  string method_name = 2
message tensorflow.serving.InferenceResult
  tensorflow.serving.ModelSpec model_spec = 1
  tensorflow.serving.ClassificationResult classification_result = 2
  tensorflow.serving.RegressionResult regression_result = 3
message tensorflow.serving.MultiInferenceRequest
  repeated tensorflow.serving.InferenceTask tasks = 1
  tensorflow.serving.Input input = 2
message tensorflow.serving.MultiInferenceResponse
  repeated tensorflow.serving.InferenceResult results = 1
message tensorflow.serving.LogCollectorConfig
  string type = 1
  string filename_prefix = 2
message tensorflow.serving.SamplingConfig
  double sampling_rate = 1
  int32 attributes = 2
message tensorflow.serving.LoggingConfig
  tensorflow.serving.LogCollectorConfig log_collector_config = 1
  tensorflow.serving.SamplingConfig sampling_config = 2
message tensorflow.serving.LogMetadata
  tensorflow.serving.ModelSpec model_spec = 1
  tensorflow.serving.SamplingConfig sampling_config = 2
  int64 timestamp_secs = 4
message tensorflow.serving.PredictLog
  tensorflow.serving.PredictRequest request = 1
  tensorflow.serving.PredictResponse response = 2
message tensorflow.serving.PredictionLog
  tensorflow.serving.LogMetadata log_metadata = 1
  tensorflow.serving.PredictLog predict_log = 6
message tensorflow.serving.Latest
  uint32 num_versions = 1
message tensorflow.serving.All
message tensorflow.serving.Specific
  repeated int64 versions = 1
message tensorflow.serving.ServableVersionPolicy
  tensorflow.serving.Latest latest = 100
  tensorflow.serving.All all = 101
  tensorflow.serving.Specific specific = 102
message tensorflow.serving.ModelConfig
  string name = 1
  string base_path = 2
  string model_platform = 4
  tensorflow.serving.LoggingConfig logging_config = 6
  tensorflow.serving.ServableVersionPolicy model_version_policy = 7
  map int64 version_labels = 8
message tensorflow.serving.ModelConfigList
  repeated tensorflow.serving.ModelConfig config = 1
message tensorflow.serving.ModelServerConfig
  tensorflow.serving.ModelConfigList model_config_list = 1
message tensorflow.serving.ReloadConfigRequest
  tensorflow.serving.ModelServerConfig config = 1
  repeated string metric_names = 2
message tensorflow.serving.Metric
  string name = 1
  int64 int64_value_increase = 2
message tensorflow.serving.ReloadConfigResponse
  tensorflow.serving.StatusProto status = 1
  repeated tensorflow.serving.Metric metric = 2
message grpc.health.v1.HealthCheckRequest
  string service = 1
message grpc.health.v1.HealthCheckResponse
  int32 status = 1
"""

CLASSES = schema.classes(_SCHEMA)
PredictRequest = CLASSES["PredictRequest"]
PredictResponse = CLASSES["PredictResponse"]
ClassificationRequest = CLASSES["ClassificationRequest"]
ClassificationResponse = CLASSES["ClassificationResponse"]
ClassificationResult = CLASSES["ClassificationResult"]
RegressionRequest = CLASSES["RegressionRequest"]
RegressionResponse = CLASSES["RegressionResponse"]
RegressionResult = CLASSES["RegressionResult"]
MultiInferenceRequest = CLASSES["MultiInferenceRequest"]
MultiInferenceResponse = CLASSES["MultiInferenceResponse"]
GetModelMetadataRequest = CLASSES["GetModelMetadataRequest"]
GetModelMetadataResponse = CLASSES["GetModelMetadataResponse"]
SignatureDefMap = CLASSES["SignatureDefMap"]
SavedModel = CLASSES["SavedModel"]
GetModelStatusRequest = CLASSES["GetModelStatusRequest"]
GetModelStatusResponse = CLASSES["GetModelStatusResponse"]
ReloadConfigRequest = CLASSES["ReloadConfigRequest"]
ReloadConfigResponse = CLASSES["ReloadConfigResponse"]
HealthCheckRequest = CLASSES["HealthCheckRequest"]
HealthCheckResponse = CLASSES["HealthCheckResponse"]
ModelSpec = CLASSES["ModelSpec"]
Example = CLASSES["Example"]
Feature = CLASSES["Feature"]
Input = CLASSES["Input"]
ModelConfig = CLASSES["ModelConfig"]
ModelServerConfig = CLASSES["ModelServerConfig"]
PredictionLog = CLASSES["PredictionLog"]
LoggingConfig = CLASSES["LoggingConfig"]
