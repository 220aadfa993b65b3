"""Two labels side by side on the same requests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from rich.console import Console

from serving.client import Client, ModelConfig
from serving.errors import ServingError, UserError
from serving.rollout import compare
from tests.serving import in_process
from tests.serving.saved_models import floats, stateless, tensor

LABELS = ("stable", "canary")


@pytest.fixture(scope="module")
def client(tmp_path_factory) -> Iterator[Client]:
    """Model `m`: the canary is a quarter off, and of another opinion above 2."""
    import tensorflow as tf

    base = tmp_path_factory.mktemp("m")
    stateless(
        base / "1",
        tensor(tf.float32, None),
        serving_default=lambda x: {"y": x, "class": tf.where(x > 2.0, "large", "small")},
        short=lambda x: {"y": x},
    )
    stateless(
        base / "2",
        tensor(tf.float32, None),
        serving_default=lambda x: {"y": x + 0.25, "class": tf.where(x > 3.0, "large", "small")},
        short=lambda x: {"y": tf.reshape(x, [-1, 1]), "z": x},
    )
    config = ModelConfig("m", str(base), [1, 2])
    with in_process.serving() as address, Client(address, timeout=30) as client:
        client.reload([config])
        for version in (1, 2):
            client.wait_until_ready("m", version=version)
        client.reload([ModelConfig("m", str(base), [1, 2], dict(zip(LABELS, (1, 2), strict=True)))])
        yield client


def input_name(client: Client, key: str = "serving_default") -> str:
    return next(iter(client.metadata("m")[key].inputs))


def test_differences_agreement_and_latencies_are_of_the_same_requests(client):
    name = input_name(client)
    requests = [("", {name: floats(1, 2.5)}), ("serving_default", {name: floats(4, 5)})]
    found = compare.compare(client, "m", requests, LABELS, repeats=3)
    assert found.versions == {"stable": 1, "canary": 2}
    assert found.outputs["serving_default/y"] == compare.Output(0.25, 0.0)
    assert found.outputs["serving_default/class"] == compare.Output(None, 0.75)
    assert {label: len(taken) for label, taken in found.latencies.items()} == dict.fromkeys(
        LABELS, 6
    )


def test_a_label_agrees_with_itself(client):
    requests = [("", {input_name(client): floats(1, 2.5)})]
    found = compare.compare(client, "m", requests, ("stable", "stable"), repeats=1)
    assert found.outputs["serving_default/y"] == compare.Output(0.0, 1.0)
    assert found.outputs["serving_default/class"] == compare.Output(None, 1.0)


def test_what_does_not_compare_is_said(client):
    requests = [("short", {input_name(client, "short"): floats(1, 2)})]
    found = compare.compare(client, "m", requests, LABELS, repeats=1)
    console = Console(width=120, record=True)
    for table in compare.tables(found):
        console.print(table)
    text = console.export_text()
    assert "float32 (2,) against float32 (2, 1)" in text
    assert "only canary has it" in text
    assert "p50 ms" in text


def test_both_labels_are_asked_in_turns(client, monkeypatch):
    asked: list[str] = []
    predict = client.predict

    def listen(*arguments, **options):
        asked.append(options["label"])
        return predict(*arguments, **options)

    monkeypatch.setattr(client, "predict", listen)
    compare.compare(client, "m", [("", {input_name(client): floats(1)})], LABELS, repeats=4)
    assert asked == [*LABELS, *LABELS[::-1]] * 2


def test_lines_are_read_as_a_query_reads_them(client):
    ((key, inputs),) = compare.read_requests(client, "m", "stable", ["1.5", ""], "")
    assert key == "serving_default"
    assert [value.tolist() for value in inputs.values()] == [[1.5]]
    assert [value.dtype for value in inputs.values()] == [np.float32]
    with pytest.raises(UserError, match="choose a signature of m: "):
        compare.read_requests(client, "m", "stable", ["1.5"], "gone")


def test_an_unknown_label_is_refused(client):
    with pytest.raises(ServingError, match="Unrecognized servable version label: beta"):
        compare.compare(client, "m", [], ("stable", "beta"))
