"""What operations send, without a connection."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest

from serving.client import operations
from serving.client.operations import Operation, Pause, Request, Settings
from serving.client.traffic import Split
from serving.errors import ServingError

UNKNOWN = ServingError(
    grpc.StatusCode.INVALID_ARGUMENT, "Unrecognized servable version label: stable"
)
X = {"x": np.array([1], np.float32)}


def run(operation: Operation[Any], *answers: Any) -> tuple[Any, list[str], list[float | None]]:
    """Answers requests one after the other; returns the result, their labels and timeouts."""
    sent: list[Request] = []
    labels: list[str] = []
    left = iter(answers)
    try:
        step = next(operation)
        while True:
            if isinstance(step, Pause):
                step = operation.send(None)
                continue
            sent.append(step)
            labels.append(step.call.request.model_spec.version_label)
            answer = next(left)
            failed = isinstance(answer, ServingError)
            step = operation.throw(answer) if failed else operation.send(answer)
    except StopIteration as end:
        return end.value, labels, [request.timeout for request in sent]


def test_a_label_that_the_server_lacks_is_replaced_once():
    settings = Settings(30.0, Split.of(None, None, 0))
    assert run(operations.predict(settings, "m", X, timeout=2.0), UNKNOWN, {"y": 1}) == (
        {"y": 1},
        ["stable", ""],
        [2.0, 2.0],
    )
    assert run(operations.version(settings, "m"), 7) == (7, [""], [None]), "it is remembered"


@pytest.mark.parametrize("chosen", [{"label": "stable"}, {"version": 3}])
def test_what_the_caller_chose_is_not_replaced(chosen):
    settings = Settings(30.0, Split.of(None, None, 0))
    with pytest.raises(ServingError, match="Unrecognized servable version label"):
        run(operations.predict(settings, "m", X, **chosen), UNKNOWN, {"y": 1})


def test_a_call_while_waiting_has_the_clients_timeout_at_most():
    settings = Settings(5.0, Split.of("", None, 0))
    gone = ServingError(grpc.StatusCode.NOT_FOUND, "not found")
    waiting = operations.wait_until_ready(settings, "m", label="canary", timeout=60.0)
    assert run(waiting, gone, 4) == (4, ["canary", "canary"], [5.0, 5.0])
