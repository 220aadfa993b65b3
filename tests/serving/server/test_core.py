"""What a server's options change in all that it answers."""

from __future__ import annotations

import numpy as np
import pytest

from serving.errors import ServingError
from serving.server.core import Core
from serving.server.servables.signature_constants import CLASSIFY, REGRESS
from tests.serving.inference_models import classification, examples, regression, tasks
from tests.serving.saved_models import floats, request
from tests.serving.server.conftest import MODEL

X = examples({"x": 2.0})


@pytest.mark.parametrize("check", [False, True])
def test_every_method_checks_method_names_or_none_does(manager, check):
    core = Core(manager, check_method_name=check)
    core.predict(request("half_plus_two", x=floats(1)))
    for answer, message in (
        (core.classify, classification(MODEL, "classify_x_to_y", X)),
        (core.regress, regression(MODEL, "regress_x_to_y", X)),
        (core.multi_inference, tasks(X, (MODEL, "regress_x_to_y", REGRESS))),
        (core.multi_inference, tasks(X, (MODEL, "classify_x_to_y", CLASSIFY))),
    ):
        if check:
            with pytest.raises(ServingError, match="signature method_name to be"):
                answer(message)
        else:
            answer(message)


@pytest.mark.parametrize("tensor_content", [False, True])
def test_tensors_are_written_as_the_server_was_told(manager, tensor_content):
    core = Core(manager, tensor_content=tensor_content)
    output = core.predict(request("half_plus_two", x=floats(1, 2))).outputs["y"]
    content = np.array([2.5, 3], np.float32).tobytes()
    assert output.tensor_content == (content if tensor_content else b"")
    assert list(output.float_val) == ([] if tensor_content else [2.5, 3])
