"""Signatures: their examples as requests with expected responses."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tests.pipelines import samples


def test_a_log_holds_a_range_of_the_examples_and_expected_outputs():
    default, _ = samples.linear_signatures(samples.linear())
    predict = default.log(1, 4).predict_log
    assert predict.request.model_spec.signature_name == "serving_default"
    np.testing.assert_array_equal(
        tf.make_ndarray(predict.request.inputs["x"]), default.examples["x"][1:4]
    )
    np.testing.assert_array_equal(
        tf.make_ndarray(predict.response.outputs["larger"]), default.expected["larger"][1:4]
    )
