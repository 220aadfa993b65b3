"""Which label a request gets."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.client import calls, traffic
from serving.client.traffic import Split
from serving.errors import ServingError

KEYS = [f"user {number}" for number in range(4000)]
positive = st.floats(1e-3, 1e3)


def shares(split: Split, keys: list[str] | list[None]) -> dict[str, float]:
    return {name: n / len(keys) for name, n in Counter(map(split.choose, keys)).items()}


@pytest.mark.parametrize("keys", [KEYS, [None] * 4000], ids=["keys", "draws"])
def test_labels_get_their_share_of_the_requests(keys):
    found = shares(Split({"stable": 9, "canary": 1}), keys)
    assert found == {"stable": pytest.approx(0.9, abs=0.03), "canary": pytest.approx(0.1, abs=0.03)}


def test_the_same_key_always_gets_the_same_label():
    first, second = Split({"stable": 0.5, "canary": 0.5}), Split({"stable": 2, "canary": 2})
    first.choose()  # Draws without a key change nothing for those with one.
    assert [first.choose(key) for key in KEYS] == [second.choose(key) for key in KEYS]


def test_another_seed_chooses_other_keys_and_draws():
    weights = {"stable": 0.5, "canary": 0.5}
    for keys in (KEYS, [None] * 4000):
        one, other, again = Split(weights, seed=1), Split(weights, seed=2), Split(weights, seed=1)
        chosen = [one.choose(key) for key in keys]
        assert chosen != [other.choose(key) for key in keys]
        assert chosen == [again.choose(key) for key in keys]


def test_a_growing_canary_keeps_the_keys_it_had():
    few, more = Split({"stable": 0.9, "canary": 0.1}), Split({"stable": 0.7, "canary": 0.3})
    had = {key for key in KEYS if few.choose(key) == "canary"}
    has = {key for key in KEYS if more.choose(key) == "canary"}
    assert had < has


@given(st.dictionaries(st.text(min_size=1), positive, min_size=1), st.text())
def test_a_key_gets_one_of_the_labels(weights, key):
    split = Split(weights)
    assert split.choose(key) in weights
    assert split.choose() in weights
    assert split.labels == list(weights)


def test_a_label_without_weight_is_never_chosen():
    split = Split({"stable": 1, "off": 0})
    assert {split.choose(key) for key in KEYS} == {"stable"}
    assert split.labels == ["stable"]


def test_without_labels_none_is_asked_for():
    split = Split({})
    assert (split.choose(), split.choose("key"), split.labels) == ("", "", [""])


@pytest.mark.parametrize(
    "weights",
    [{"a": -1.0}, {"a": 0.0}, {"a": float("nan")}, {"a": float("inf")}, {"a": 1.0, "b": -0.1}],
)
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match="weight"):
        Split(weights)


def test_a_client_has_a_label_or_weights():
    assert Split.of("stable", None, 0).choose() == "stable"
    assert Split.of("", {"canary": 3}, 0).choose() == "canary"
    assert Split.of("", None, 0).choose() == ""
    with pytest.raises(ValueError, match="a label or weights"):
        Split.of("stable", {"canary": 1}, 0)


def test_what_a_request_says_itself_comes_before_the_choice():
    split = Split({"stable": 1})
    assert split.spec("m", None, None, None).version_label == "stable"
    assert split.spec("m", None, "canary", None).version_label == "canary"
    assert split.spec("m", None, "", None, "sig").version_label == ""
    by_version = split.spec("m", 7, None, None)
    assert (by_version.version.value, by_version.version_label) == (7, "")
    with pytest.raises(ValueError, match="a version or a label, not 7 and 'canary'"):
        split.spec("m", 7, "canary", None)


def test_all_that_requests_may_get_is_waited_for():
    split = Split({"stable": 1, "canary": 1})
    assert [spec.version_label for spec in split.specs("m", None, None)] == ["stable", "canary"]
    assert [spec.version_label for spec in split.specs("m", None, "old")] == ["old"]
    assert [spec.version.value for spec in split.specs("m", 7, None)] == [7]


def unrecognized(label: str) -> ServingError:
    text = f"Unrecognized servable version label: {label}"
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)


def asked(split: Split, model: str = "m") -> Any:
    return calls.predict(split.spec(model, None, None, None), {}, ()).request


def test_by_default_stable_is_asked_for_and_falls_back_to_no_label():
    split = Split.of(None, None, 0)
    request = asked(split)
    assert request.model_spec.version_label == "stable"
    assert split.fallback(request, unrecognized("stable"))
    assert request.model_spec.version_label == ""
    assert asked(split).model_spec.version_label == "", "the answer is remembered"
    assert asked(split, "other").model_spec.version_label == "stable", "for this model only"


def test_the_answer_is_not_remembered_for_ever(monkeypatch):
    split = Split.of(None, None, 0)
    assert split.fallback(asked(split), unrecognized("stable"))
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + traffic.UNKNOWN_SECONDS + 1)
    assert asked(split).model_spec.version_label == "stable"


def test_all_tasks_of_a_request_fall_back_together():
    split = Split.of(None, None, 0)
    spec = split.spec("m", None, None, None)
    tasks = calls.multi_inference(spec, [], {"a": "classify", "b": "regress"}, None).request
    assert split.fallback(tasks, unrecognized("stable"))
    assert [task.model_spec.version_label for task in tasks.tasks] == ["", ""]


def test_a_canary_that_has_ended_leaves_its_share_to_stable():
    split = Split.of(None, {"canary": 1, "stable": 1e-9}, 0)
    request = asked(split)
    assert split.fallback(request, unrecognized("canary"))
    assert request.model_spec.version_label == "stable"
    assert asked(split).model_spec.version_label == "stable"


@pytest.mark.parametrize(
    ("split", "error"),
    [
        (Split.of("stable", None, 0), unrecognized("stable")),
        (Split.of(None, {"stable": 1.0}, 0), unrecognized("stable")),
        (Split.of(None, {"canary": 1.0}, 0), unrecognized("canary")),
        (Split.of(None, None, 0), unrecognized("another")),
        (Split.of(None, None, 0), ServingError(grpc.StatusCode.INVALID_ARGUMENT, "no")),
    ],
)
def test_a_label_that_somebody_asked_for_falls_back_to_nothing(split, error):
    request = asked(split)
    before = request.SerializeToString()
    assert not split.fallback(request, error)
    assert request.SerializeToString() == before


def test_a_server_that_was_told_of_labels_is_asked_anew():
    split = Split.of(None, None, 0)
    assert split.fallback(asked(split), unrecognized("stable"))
    split.forget()
    assert asked(split).model_spec.version_label == "stable"
