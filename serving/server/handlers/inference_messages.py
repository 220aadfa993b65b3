"""Responses whose class labels are bytes.

In tensorflow_serving/apis/classification.proto a label is a string, which Python's messages accept
in UTF-8 only. TensorFlow Serving sends labels as the model returns them, whatever bytes these are.
On the wire, strings and bytes are the same.
"""

from __future__ import annotations

from typing import Any

from serving.protocol.schema import classes

_MESSAGES = classes(
    """
message tensorflow.serving.Int64Value
  int64 value = 1
message tensorflow.serving.ModelSpec
  string name = 1
  tensorflow.serving.Int64Value version = 2
  string version_label = 4
  string signature_name = 3
message tensorflow.serving.Class
  bytes label = 1
  float score = 2
message tensorflow.serving.Classifications
  repeated tensorflow.serving.Class classes = 1
message tensorflow.serving.ClassificationResult
  repeated tensorflow.serving.Classifications classifications = 1
message tensorflow.serving.ClassificationResponse
  tensorflow.serving.ModelSpec model_spec = 2
  tensorflow.serving.ClassificationResult result = 1
message tensorflow.serving.Regression
  float value = 1
message tensorflow.serving.RegressionResult
  repeated tensorflow.serving.Regression regressions = 1
message tensorflow.serving.RegressionResponse
  tensorflow.serving.ModelSpec model_spec = 2
  tensorflow.serving.RegressionResult result = 1
message tensorflow.serving.InferenceResult
  tensorflow.serving.ModelSpec model_spec = 1
  tensorflow.serving.ClassificationResult classification_result = 2
  tensorflow.serving.RegressionResult regression_result = 3
message tensorflow.serving.MultiInferenceResponse
  repeated tensorflow.serving.InferenceResult results = 1
"""
)

ClassificationResult: Any = _MESSAGES["ClassificationResult"]
ClassificationResponse: Any = _MESSAGES["ClassificationResponse"]
RegressionResult: Any = _MESSAGES["RegressionResult"]
RegressionResponse: Any = _MESSAGES["RegressionResponse"]
MultiInferenceResponse: Any = _MESSAGES["MultiInferenceResponse"]
