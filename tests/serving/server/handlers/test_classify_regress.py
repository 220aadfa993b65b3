"""From examples to classes, scores and values; the contract holds most refusals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import prediction_service_pb2_grpc

from serving.errors import ServingError
from serving.server.handlers.classify_regress import classify, multi_inference, regress
from serving.server.handlers.predict import CLASSIFY, REGRESS
from serving.server.servables.session import Session
from tests.serving.inference_models import (
    classification,
    examples,
    examples_with_context,
    regression,
    tasks,
)
from tests.serving.saved_models import request

TF1 = "half_plus_two_of_examples"
TF2 = "half_plus_two_of_examples_in_tensorflow_2"
X = examples({"x": 2.0})


@pytest.fixture(scope="module")
def sessions(repository) -> Iterator[dict[str, Session]]:
    opened = {name: Session(repository / name / "1") for name in (TF1, TF2, "classifier")}
    yield opened
    for session in opened.values():
        session.close()


@pytest.fixture(scope="module")
def service(address) -> Iterator[Any]:
    with grpc.insecure_channel(address) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


class Counting:
    """A session that counts its runs and keeps the time each was given."""

    def __init__(self, session: Session) -> None:
        self.signatures = session.signatures
        self.timeouts: list[float | None] = []
        self._session = session

    def run(self, feeds, fetches, timeout=None):
        self.timeouts.append(timeout)
        return self._session.run(feeds, fetches, timeout)


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


def test_a_client_gets_several_inferences_of_half_plus_two(service):
    message = tasks(X, (TF1, "regress_x_to_y", REGRESS), (TF1, "classify_x_to_y", CLASSIFY))
    first, second = service.MultiInference(message, timeout=20).results
    assert first.regression_result.regressions[0].value == 3.0
    assert second.classification_result.classifications[0].classes[0].score == 3.0
    assert first.WhichOneof("result") == "regression_result"
    assert second.WhichOneof("result") == "classification_result"
    for result, task in zip((first, second), message.tasks, strict=True):
        assert result.model_spec.name == TF1
        assert result.model_spec.signature_name == task.model_spec.signature_name
        assert result.model_spec.version.value == 1


def test_the_first_task_chooses_the_version(service):
    message = tasks(X, (TF1, "regress_x_to_y", REGRESS), (TF1, "classify_x_to_y", CLASSIFY))
    message.tasks[1].model_spec.version.value = 7
    results = service.MultiInference(message, timeout=20).results
    assert [result.model_spec.version.value for result in results] == [1, 1]


def test_several_tasks_take_one_run(sessions):
    session = Counting(sessions[TF1])
    message = tasks(
        X,
        (TF1, "regress_x_to_y", REGRESS),
        (TF1, "regress_x_to_y2", REGRESS),
        (TF1, "classify_x_to_y", CLASSIFY),
    )
    response = multi_inference(session, message, 5.0)  # type: ignore[arg-type]
    assert len(response.results) == 3
    assert session.timeouts == [5.0]


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


def test_several_inferences_check_method_names_too(sessions):
    message = tasks(X, (TF2, "classify_x_to_y", CLASSIFY))
    assert len(multi_inference(sessions[TF2], message).results) == 1
    with pytest.raises(ServingError, match="Expected classification signature method_name to be"):
        multi_inference(sessions[TF2], message, check_method_name=True)


def test_a_label_that_is_no_text_is_an_error_in_words(sessions):
    message = classification("", "classes_not_utf8", examples({"chance": 1.0}))
    with pytest.raises(ServingError) as raised:
        classify(sessions["classifier"], message)
    assert raised.value.code is grpc.StatusCode.INTERNAL
    assert raised.value.message == r"The class b'\xff' is no UTF-8 and cannot be a label"


def test_no_task_at_all_names_the_tensor_that_is_missing(sessions):
    """As in a warmup record, which no model name has to be found for."""
    with pytest.raises(ServingError, match="Tensor :0, specified in either feed_devices"):
        multi_inference(sessions[TF1], tasks(X))


def test_a_model_is_left_as_it_was(sessions):
    session = sessions["classifier"]
    before = {key: signature.SerializeToString() for key, signature in session.signatures.items()}
    classify(session, classification("", "", examples({"chance": 1.0})))
    with pytest.raises(ServingError):
        regress(session, regression("", "", examples({"chance": 1.0})))
    after = {key: signature.SerializeToString() for key, signature in session.signatures.items()}
    assert after == before
