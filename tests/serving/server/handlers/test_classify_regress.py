"""From examples to classes, scores and values; the contract has most of the errors."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.errors import ServingError
from serving.server.handlers.classify_regress import classify, regress
from serving.server.servables.signature_constants import CLASSIFY, REGRESS
from tests.serving.inference_models import (
    classification,
    examples,
    examples_with_context,
    regression,
)
from tests.serving.saved_models import request
from tests.serving.server.handlers.examples import TF1, TF2, Counting, X


@pytest.mark.parametrize("model", [TF1, TF2])
def test_a_client_gets_classes_values_and_tensors_of_half_plus_two(service, model):
    classes = service.Classify(classification(model, "classify_x_to_y", X), timeout=20)
    assert [[entry.score for entry in row.classes] for row in classes.result.classifications] == [
        [3.0]
    ]
    values = service.Regress(regression(model, "regress_x_to_y", X), timeout=20)
    assert [entry.value for entry in values.result.regressions] == [3.0]
    for response, signature in [(classes, "classify_x_to_y"), (values, "regress_x_to_y")]:
        assert response.model_spec.name == model
        assert response.model_spec.signature_name == signature
        assert response.model_spec.version.value == 1
    example = X.example_list.examples[0].SerializeToString()
    message = request(model, signature="regress_x_to_y2", inputs=[example])
    assert list(service.Predict(message, timeout=20).outputs["outputs"].float_val) == [4.0]


@pytest.mark.parametrize("infer", [classify, regress])
def test_the_time_that_is_left_limits_the_run(sessions, infer):
    session = Counting(sessions[TF1])
    build = classification if infer is classify else regression
    signature = "classify_x_to_y" if infer is classify else "regress_x_to_y"
    infer(session, build("", signature, X), 5.0)
    assert session.timeouts == [5.0]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40), st.sampled_from([TF1, TF2])
)
def test_every_example_gets_its_own_answer_in_its_place(sessions, xs, model):
    sent = examples(*({"x": x} for x in xs))
    values = regress(sessions[model], regression(model, "regress_x_to_y", sent))
    expected = pytest.approx([0.5 * x + 2.0 for x in xs], rel=1e-6, abs=1e-6)
    assert [entry.value for entry in values.result.regressions] == expected
    classes = classify(sessions[model], classification(model, "classify_x_to_y", sent))
    scores = [[entry.score for entry in row.classes] for row in classes.result.classifications]
    assert [score for (score,) in scores] == expected


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.floats(-100, 100, width=32), st.lists(st.floats(-100, 100, width=32), min_size=1))
def test_a_context_stands_in_every_example(sessions, x, others):
    plain = examples(*({"x": x, "x2": other} for other in others))
    context = examples_with_context({"x": x}, *({"x2": other} for other in others))
    for signature in ("regress_x_to_y", "regress_x2_to_y3"):
        wanted, got = (
            regress(sessions[TF1], regression(TF1, signature, sent)) for sent in (plain, context)
        )
        assert got == wanted


def test_an_example_wins_over_the_context(sessions):
    sent = examples_with_context({"x": 2.0}, {"x": 4.0}, {})
    values = regress(sessions[TF2], regression(TF2, "regress_x_to_y", sent))
    assert [entry.value for entry in values.result.regressions] == [4.0, 3.0]


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_the_method_name_of_a_signature_counts_only_if_it_is_to_be_checked(sessions, kind):
    infer: Any = classify if kind == "classification" else regress
    build: Any = classification if kind == "classification" else regression
    signature = "classify_x_to_y" if kind == "classification" else "regress_x_to_y"
    method_name = CLASSIFY if kind == "classification" else REGRESS
    message = build("", signature, X)
    assert infer(sessions[TF2], message).result == infer(sessions[TF1], message).result
    infer(sessions[TF1], message, check_method_name=True)
    with pytest.raises(ServingError) as raised:
        infer(sessions[TF2], message, check_method_name=True)
    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.message == (
        f"Expected {kind} signature method_name to be {method_name}. "
        "Was: tensorflow/serving/predict"
    )


def test_a_label_that_is_no_text_is_answered_byte_by_byte(sessions, address):
    message = classification("classifier", "classes_not_utf8", examples({"probability": 1.0}))
    (classifications,) = classify(sessions["classifier"], message).result.classifications
    assert [each.label for each in classifications.classes] == [b"\xff"]
    with grpc.insecure_channel(address) as channel:
        # Without a message class, which would reject what is not UTF-8.
        call: Any = channel.unary_unary("/tensorflow.serving.PredictionService/Classify")
        sent = call(message.SerializeToString(), timeout=20)
    assert b"\x0a\x01\xff" in sent  # Field 1, one byte.


def test_a_model_is_left_as_it_was(sessions):
    session = sessions["classifier"]
    before = {key: signature.SerializeToString() for key, signature in session.signatures.items()}
    classify(session, classification("", "", examples({"probability": 1.0})))
    with pytest.raises(ServingError):
        regress(session, regression("", "", examples({"probability": 1.0})))
    after = {key: signature.SerializeToString() for key, signature in session.signatures.items()}
    assert after == before
