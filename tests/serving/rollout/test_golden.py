"""What counts as the same answer."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import RolloutError
from serving.rollout import golden
from serving.rollout.golden import Golden
from tests.serving import rollouts
from tests.serving.damage import damaged

FLOATS = np.array([1.0, -100.0, np.inf, np.nan], np.float32)


def expecting(value: np.ndarray, absolute: float = 0.01, relative: float = 0.0) -> Golden:
    return Golden("serving_default", {}, {"y": value}, absolute, relative)


def refused(wanted: Golden, answer: dict[str, np.ndarray]) -> str:
    with pytest.raises(RolloutError) as raised:
        golden.check(wanted, answer)
    return str(raised.value)


@pytest.mark.parametrize(
    "value",
    [
        FLOATS,
        FLOATS.astype(np.float16),
        FLOATS.astype(np.complex64),
        np.array([1, 2], np.int64),
        np.array([True]),
        np.array([b"a", b"\0"], object),
        np.zeros((0, 3), np.float32),
    ],
    ids=lambda value: f"{value.dtype} {value.shape}",
)
def test_an_answer_is_the_same_as_itself(value):
    assert golden.check(expecting(value), {"y": value.copy()}) == {"y": 0.0}


@given(st.floats(-1e6, 1e6), st.floats(0, 1), st.floats(0, 1), st.floats(-3, 3))
def test_floats_may_differ_by_both_tolerances_together(value, absolute, relative, off):
    wanted = expecting(np.array([value]), absolute, relative)
    answer = np.array([value + off])
    if abs(answer[0] - value) <= absolute + relative * abs(value):
        assert golden.check(wanted, {"y": answer})["y"] == abs(answer[0] - value)
    else:
        assert "differs from the golden answer by up to" in refused(wanted, {"y": answer})


@pytest.mark.parametrize(
    ("wanted", "wrong"),
    [(1.0, np.nan), (1.0, np.inf), (1.0, -np.inf), (np.inf, 1.0), (np.inf, -np.inf), (np.nan, 1.0)],
)
def test_what_is_not_finite_is_not_close_to_anything(wanted, wrong):
    sentence = refused(expecting(np.array([wanted]), relative=0.5), {"y": np.array([wrong])})
    assert sentence.startswith("serving_default/y differs from the golden answer by up to inf")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            {"y": np.array([1.5], np.float32)},
            "serving_default/y differs from the golden answer by up to 0.5, where 0.01 + 0 of the "
            "value is allowed",
        ),
        ({}, "serving_default answers , not y as at its export"),
        (
            {"y": np.array([1.0])},
            "serving_default/y is float64 (1,), not float32 (1,) as at its export",
        ),
        (
            {"y": np.array([[1.0]], np.float32)},
            "serving_default/y is float32 (1, 1), not float32 (1,) as at its export",
        ),
    ],
)
def test_one_sentence_names_signature_output_and_difference(answer, sentence):
    assert refused(expecting(np.array([1.0], np.float32)), answer) == sentence


def test_strings_and_integers_must_be_equal():
    assert refused(expecting(np.array([b"a", b"b"], object)), {"y": np.array([b"a", b"c"], object)})
    sentence = refused(expecting(np.array([1, 2, 3])), {"y": np.array([1, 3, 2])})
    assert sentence == "serving_default/y differs from the golden answer in 2 of 3 values"


def test_records_are_read_as_the_export_wrote_them(tmp_path):
    assert golden.read(tmp_path) == []
    rollouts.record_golden(tmp_path, 0.5, 2.0, absolute=0.25)
    one, three = golden.read(tmp_path)
    assert (one.signature, one.absolute, one.relative) == ("serving_default", 0.25, 1e-5)
    assert one.inputs["x"].tolist() == [1.0]
    assert three.outputs["y"].tolist() == [2.5, 3.0, -2.0]


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (golden.REQUESTS, b"damaged"),
        (golden.TOLERANCES, b"{}"),
        (golden.TOLERANCES, b"[1]"),
        (golden.TOLERANCES, b"no JSON"),
        (golden.TOLERANCES, None),
    ],
)
def test_damaged_files_are_refused_in_a_sentence(tmp_path, file, content):
    rollouts.record_golden(tmp_path, 0.5, 2.0)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(RolloutError, match="the golden requests cannot be read: "):
        golden.read(tmp_path)


VALUES = st.none() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)


@settings(max_examples=30)
@given(
    tolerances=st.dictionaries(
        st.sampled_from(["serving_default", "other"]),
        VALUES | st.dictionaries(st.sampled_from(["absolute", "relative"]), VALUES),
    )
    | VALUES,
    data=st.data(),
)
def test_damaged_golden_requests_are_read_or_refused(tmp_path_factory, tolerances, data):
    version = tmp_path_factory.getbasetemp() / "golden"
    version.mkdir(exist_ok=True)
    rollouts.record_golden(version, 0.5, 2.0)
    requests = version / golden.REQUESTS
    if data.draw(st.booleans()):
        requests.write_bytes(data.draw(damaged(requests.read_bytes())))
    (version / golden.TOLERANCES).write_text(json.dumps(tolerances))
    with contextlib.suppress(RolloutError):
        golden.read(version)
