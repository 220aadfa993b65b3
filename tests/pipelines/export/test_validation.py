"""Validation in a fresh process, and the verification requests that it adds."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipelines.errors import ValidationError
from pipelines.export import comparison, validation
from pipelines.export.ops import ops
from pipelines.export.signature import Signature
from serving.rollout import golden
from tests.pipelines import samples


@pytest.fixture(scope="module")
def signatures() -> list[Signature]:
    return samples.linear_signatures(samples.linear())


def test_a_good_export_passes_with_a_report(at_once, linear_model, signatures):
    report = validation.validate(linear_model, signatures)
    assert report["failure"] == ""
    assert set(report["differences"]) == {"serving_default", "text"}
    assert set(report["differences"]["serving_default"]) == {"y", "larger"}
    assert report["differences"]["serving_default"]["larger"] == 0
    assert 0 <= report["differences"]["text"]["y"] < 1e-5
    assert report["ops"] == ops(linear_model)
    assert report["text_ops"] == []


def copied(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("golden*"))
    return target


def test_verification_requests_hold_the_saved_models_own_outputs(
    at_once, linear_model, signatures, tmp_path
):
    folder = copied(linear_model, tmp_path / "saved_model")
    assert golden.read(folder) == []
    validation.validate(folder, signatures)
    recorded = golden.read(folder)
    assert [(g.signature, len(next(iter(g.inputs.values())))) for g in recorded] == [
        (name, size) for name in ("serving_default", "text") for size in (1, 4)
    ]
    loaded = tf.saved_model.load(str(folder))
    for found, signature in zip(recorded, [s for s in signatures for _ in range(2)], strict=True):
        assert (found.absolute, found.relative) == (signature.absolute, signature.relative)
        inputs = {name: tf.constant(value) for name, value in found.inputs.items()}
        outputs = loaded.signatures[found.signature](**inputs)
        assert golden.check(found, {name: value.numpy() for name, value in outputs.items()})
        for name, value in found.inputs.items():
            np.testing.assert_array_equal(value, signature.examples[name][: len(value)])


def test_verification_requests_that_would_be_large_hold_one_example(
    at_once, linear_model, signatures, tmp_path, monkeypatch
):
    monkeypatch.setattr(comparison, "_MAX_BYTES", 10)
    folder = copied(linear_model, tmp_path / "saved_model")
    validation.validate(folder, signatures)
    sizes = [len(next(iter(found.inputs.values()))) for found in golden.read(folder)]
    assert sizes == [1, 1]


def test_a_failed_model_gets_no_verification_requests(at_once, linear_model, signatures, tmp_path):
    folder = copied(linear_model, tmp_path / "saved_model")
    default, text = signatures
    shifted = {**default.expected, "y": default.expected["y"] + np.float32(1)}
    with pytest.raises(ValidationError):
        validation.validate(folder, [replace(default, expected=shifted), text])
    assert golden.read(folder) == []


PNG = b"\x89PNG\r\n"


@pytest.mark.parametrize("values", [np.array([b"text", PNG], object), np.array([[b"text"], [PNG]])])
def test_strings_that_are_no_text_need_a_name_that_says_so(at_once, linear_model, values):
    default, text = samples.linear_signatures(samples.linear())
    wrong = replace(text, expected={**text.expected, "picture": values})
    with pytest.raises(ValidationError) as raised:
        validation.validate(linear_model, [default, wrong])
    assert str(raised.value) == (
        "output picture of signature text has strings that are not UTF-8, which JSON cannot "
        "carry: call it picture_bytes, and REST answers carry it in base64"
    )
    right = replace(text, expected={**text.expected, "picture_bytes": values})
    with pytest.raises(ValidationError, match="text returns y, not picture_bytes, y"):
        validation.validate(linear_model, [default, right])


def test_strings_that_are_text_may_have_any_name(at_once, linear_model):
    default, text = samples.linear_signatures(samples.linear())
    named = replace(text, expected={**text.expected, "word": np.array(["é".encode(), b""], object)})
    with pytest.raises(ValidationError, match="text returns y, not word, y"):
        validation.validate(linear_model, [default, named])


def test_a_file_that_does_not_load_fails_in_a_fresh_process(tmp_path, signatures):
    (tmp_path / "saved_model.pb").write_bytes(b"not a SavedModel")
    with pytest.raises(ValidationError, match=r"^the SavedModel failed in a fresh process: ") as e:
        validation.validate(tmp_path, signatures)
    assert "\n" not in str(e.value)
