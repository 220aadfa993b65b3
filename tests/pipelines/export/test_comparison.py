"""Comparison: a SavedModel passes only with the outputs of the trained model."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from pipelines.errors import ValidationError
from pipelines.export import saved_model, validation
from pipelines.export.signature import Signature
from tests.pipelines import samples


@pytest.fixture(scope="module")
def signatures() -> list[Signature]:
    return samples.linear_signatures(samples.linear())


def test_changed_weights_are_an_error_with_the_difference(at_once, linear_model, signatures):
    """The expected outputs are those of a network whose bias is a thousandth larger."""
    default, text = signatures
    shifted = {**default.expected, "y": default.expected["y"] + np.float32(1e-3)}
    with pytest.raises(ValidationError) as caught:
        validation.validate(linear_model, [replace(default, expected=shifted), text])
    assert re.fullmatch(
        "the SavedModel is not the trained model: serving_default/y differs by up to 0.001, "
        r"where 1e-05 \+ 1e-05 of the value is allowed",
        str(caught.value),
    )


Change = Callable[[Signature], Signature]


def expecting(**changed: Callable[[np.ndarray], np.ndarray]) -> Change:
    def change(signature: Signature) -> Signature:
        expected = dict(signature.expected)
        for key, function in changed.items():
            expected[key] = function(expected[key])
        return replace(signature, expected=expected)

    return change


def named(signature: Signature) -> Signature:
    expected = {"z": signature.expected["y"], "larger": signature.expected["larger"]}
    return replace(signature, expected=expected)


def lacking(signature: Signature) -> Signature:
    return replace(signature, expected={"y": signature.expected["y"]})


def integers(signature: Signature) -> Signature:
    return replace(signature, inputs={"x": tf.TensorSpec([None, 3], tf.int32)})


def another_input(signature: Signature) -> Signature:
    return replace(signature, inputs={"u": tf.TensorSpec([None, 3], tf.float32)})


def first_left(names: np.ndarray) -> np.ndarray:
    swapped = names.copy()
    swapped[0] = b"right" if names[0] == b"left" else b"left"
    return swapped


def one_wrong(values: np.ndarray) -> np.ndarray:
    wrong = values.copy()
    wrong[3, 1] += 0.5
    return wrong


FAILING: list[tuple[str, Change, str]] = [
    ("one value", expecting(y=one_wrong), "serving_default/y differs by up to 0.5, where"),
    ("nan", expecting(y=lambda y: y * np.float32("nan")), "serving_default/y differs by up to nan"),
    ("one string", expecting(larger=first_left), "serving_default/larger differs in 1 of 5 values"),
    ("output name", named, "serving_default returns larger, y, not larger, z"),
    ("output missing", lacking, "serving_default returns larger, y, not y"),
    (
        "output type",
        expecting(y=lambda y: y.astype(np.float64)),
        r"serving_default/y is float32 \(5, 2\), not float64 \(5, 2\)",
    ),
    (
        "output shape",
        expecting(y=lambda y: y[:, :1]),
        r"serving_default/y is float32 \(5, 2\), not float32 \(5, 1\)",
    ),
    ("input type", integers, "serving_default takes {'x': 'float32'}, not {'x': 'int32'}"),
    ("input name", another_input, "serving_default takes {'x': 'float32'}, not {'u': 'float32'}"),
]


@pytest.mark.parametrize(
    ("change", "message"), [r[1:] for r in FAILING], ids=[r[0] for r in FAILING]
)
def test_a_difference_from_the_trained_model_is_an_error(
    at_once, linear_model, signatures, change, message
):
    default, text = signatures
    prefix = "the SavedModel is not the trained model: "
    with pytest.raises(ValidationError, match=rf"^{prefix}{message}") as caught:
        validation.validate(linear_model, [change(default), text])
    assert "\n" not in str(caught.value)


def test_a_missing_signature_is_an_error_that_lists_the_others(at_once, linear_model, signatures):
    wanted = [*signatures, replace(signatures[0], name="classify")]
    with pytest.raises(
        ValidationError, match="signature classify is missing; there are: serving_default, text"
    ):
        validation.validate(linear_model, wanted)


def test_the_second_signature_is_compared_too(at_once, linear_model, signatures):
    default, text = signatures
    with pytest.raises(ValidationError, match=r"text/y differs by up to 0.5"):
        validation.validate(linear_model, [default, expecting(y=one_wrong)(text)])


@pytest.mark.parametrize(("relative", "absolute"), [(0.0, 2e-3), (0.1, 1e-4)])
def test_a_signature_can_allow_larger_errors(at_once, linear_model, signatures, relative, absolute):
    shifted = expecting(y=lambda y: y + np.sign(y) * np.float32(1e-3))(signatures[0])
    tolerant = replace(shifted, relative=relative, absolute=absolute)
    report = validation.validate(linear_model, [tolerant])
    assert report["differences"]["serving_default"]["y"] == pytest.approx(1e-3, rel=1e-2)


def test_an_export_with_nan_outputs_is_an_error(at_once, signatures, tmp_path):
    model = samples.linear()

    def broken(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.math.sqrt(model(x)), "larger": signatures[0].function(x)["larger"]}

    exported = [replace(signatures[0], function=broken)]
    folder = saved_model.saved_model(model, exported, tmp_path / "saved_model")
    with pytest.raises(ValidationError, match="serving_default/y differs by up to nan"):
        validation.validate(folder, [signatures[0]])


def test_weights_changed_on_disk_are_noticed(at_once, linear_model, signatures, tmp_path):
    """Loading or comparing fails, whichever byte of a weight is damaged."""
    for position in (0, 10, 20):
        folder = shutil.copytree(linear_model, tmp_path / str(position))
        (values,) = folder.glob("variables/variables.data-*")
        content = bytearray(values.read_bytes())
        place = content.find(samples.WEIGHTS.tobytes())
        assert place >= 0
        content[place + position] ^= 0x60
        values.write_bytes(content)
        with pytest.raises((ValidationError, tf.errors.DataLossError)):
            validation.validate(folder, signatures)
