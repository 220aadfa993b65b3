"""Names that TensorFlow Serving gives to signatures, their inputs and outputs.

Counterpart: tensorflow/cc/saved_model/signature_constants.h.
"""

from __future__ import annotations

DEFAULT_SIGNATURE = "serving_default"
PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
INPUTS = "inputs"
CLASSES = "classes"
SCORES = "scores"
OUTPUTS = "outputs"
