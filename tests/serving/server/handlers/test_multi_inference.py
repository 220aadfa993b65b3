"""Several inferences in one run; the contract has most of the errors."""

from __future__ import annotations

import pytest

from serving.errors import ServingError
from serving.server.handlers.multi_inference import multi_inference
from serving.server.servables.signature_constants import CLASSIFY, REGRESS
from tests.serving.inference_models import tasks
from tests.serving.server.handlers.examples import TF1, TF2, Counting, X


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


@pytest.mark.parametrize("model", [TF1, TF2])
def test_several_tasks_take_one_run(sessions, model):
    session = Counting(sessions[model])
    message = tasks(
        X,
        (model, "regress_x_to_y", REGRESS),
        (model, "regress_x_to_y2", REGRESS),
        (model, "classify_x_to_y", CLASSIFY),
    )
    response = multi_inference(session, message, 5.0)  # type: ignore[arg-type]
    assert len(response.results) == 3
    assert session.timeouts == [5.0]


def test_several_inferences_check_method_names_too(sessions):
    message = tasks(X, (TF2, "classify_x_to_y", CLASSIFY))
    assert len(multi_inference(sessions[TF2], message).results) == 1
    with pytest.raises(ServingError, match="Expected classification signature method_name to be"):
        multi_inference(sessions[TF2], message, check_method_name=True)


def test_no_task_at_all_leaves_nothing_to_run(sessions):
    """As in a warmup record, which no model name has to be found for."""
    with pytest.raises(ServingError, match="Must specify at least one target to fetch or execute"):
        multi_inference(sessions[TF1], tasks(X))
