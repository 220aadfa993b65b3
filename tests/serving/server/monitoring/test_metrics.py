"""What is counted, under which names and labels, and the page that shows it."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.server.monitoring import metrics
from serving.server.monitoring.batch_statistics import BatchStatistics
from serving.server.monitoring.metrics import METRICS, Metrics, merge, page
from serving.server.monitoring.observation import Observation

_LINE = re.compile(r'([a-z_:]+)\{((?:[A-Za-z_]+="(?:[^"\\]|\\.)*",?)*)\} ([0-9.e+-]+)')


def request(api: str = "Predict", entrypoint: str = "GRPC", **known) -> Observation:
    values: dict[str, Any] = {"model": "m", "version": 1, "total_seconds": 1e-3, **known}
    return Observation(api, entrypoint, str, **values)


def counted(*requests: Observation) -> dict[str, float]:
    """Returns the numbers of the page, by what stands before them."""
    counts = Metrics()
    for one in requests:
        counts.observe(one)
    return numbers(page(counts.snapshot()))


def numbers(text: str) -> dict[str, float]:
    found = {}
    for line in text.removesuffix("\n").split("\n"):
        if not line.startswith("# TYPE "):
            assert _LINE.fullmatch(line), line
            name, _, number = line.rpartition(" ")
            found[name] = float(number)
    return found


TFS = ":tensorflow:serving:"


def test_inference_is_counted_under_tensorflow_serving_s_names():
    found = counted(
        *(request() for _ in range(3)),
        request(code="INVALID_ARGUMENT"),
        request("Classify", model="other", rows=4),
        request(model="gone", version=None, code="NOT_FOUND"),
    )
    assert found[f'{TFS}request_count{{model_name="m",status="OK"}}'] == 3
    assert found[f'{TFS}request_count{{model_name="m",status="INVALID_ARGUMENT"}}'] == 1
    assert found[f'{TFS}request_count{{model_name="gone",status="NOT_FOUND"}}'] == 1
    latency = f'{TFS}request_latency_count{{model_name="m",API="Predict",entrypoint="GRPC"}}'
    assert found[latency] == 3
    assert found[f'{TFS}request_example_count_total{{model="other"}}'] == 4
    assert found[f'{TFS}request_example_counts_bucket{{model="other",le="4"}}'] == 0
    assert found[f'{TFS}request_example_counts_bucket{{model="other",le="8"}}'] == 1
    assert not [name for name in found if "request_example" in name and '"m"' in name]


@pytest.mark.parametrize("api", ["GetModelStatus", "GetModelMetadata", "MultiInference"])
def test_other_methods_are_counted_under_own_names_alone(api):
    found = counted(request(api))
    own = f'model_name="m",API="{api}",entrypoint="GRPC",status="OK"'
    assert found[f":keras_foundry:serving:request_count{{{own}}}"] == 1
    assert not [name for name in found if name.startswith(f"{TFS}request_")]


def test_rest_s_methods_have_the_names_of_its_paths():
    found = counted(request(entrypoint="REST"))
    labels = 'model_name="m",API="predict",entrypoint="REST"'
    assert found[f"{TFS}request_latency_count{{{labels}}}"] == 1


def test_every_request_over_rest_is_counted_but_only_inference_by_its_method():
    found = counted(
        request("GetModelStatus", "REST"),
        request("GetModelMetadata", "REST"),
        request("GetModelMetadata", "REST", code="NOT_FOUND"),
        request("", "REST", model="", version=None, code="INVALID_ARGUMENT"),
    )
    assert found[f'{TFS}request_count{{model_name="m",status="OK"}}'] == 2
    assert found[f'{TFS}request_count{{model_name="m",status="NOT_FOUND"}}'] == 1
    assert found[f'{TFS}request_count{{model_name="",status="INVALID_ARGUMENT"}}'] == 1
    latency = f'{TFS}request_latency_count{{model_name="m",API="",entrypoint="REST"}}'
    assert found[latency] == 2
    own = 'model_name="m",API="GetModelStatus",entrypoint="REST",status="OK"'
    assert found[f":keras_foundry:serving:request_count{{{own}}}"] == 1


def test_time_is_told_in_microseconds_and_in_stages():
    found = counted(
        request(queue_seconds=0.001, runtime_seconds=0.002, total_seconds=0.005, rows=1)
    )
    labels = 'model_name="m",API="Predict"'
    assert found[f'{TFS}runtime_latency_sum{{{labels},runtime="TF1"}}'] == pytest.approx(3000)
    assert found[f'{TFS}request_latency_sum{{{labels},entrypoint="GRPC"}}'] == pytest.approx(5000)
    for stage, microseconds in (("queue", 1000), ("runtime", 2000), ("codec", 2000)):
        name = f':keras_foundry:serving:stage_latency_sum{{{labels},entrypoint="GRPC"'
        assert found[f'{name},stage="{stage}"}}'] == pytest.approx(microseconds)


def test_buckets_are_those_of_tensorflow_serving():
    labels = 'model_name="m",API="Predict",entrypoint="GRPC"'
    found = counted(request(total_seconds=20e-6), request(total_seconds=1e6))
    name = f"{TFS}request_latency_bucket{{{labels},le="
    buckets = {key.removeprefix(name): number for key, number in found.items() if name in key}
    limits = [limit.strip('"}') for limit in buckets]
    assert limits[:7] == ["10", "18", "32.4", "58.32", "104.976", "188.957", "340.122"]
    assert len(limits) == 34
    assert limits[-2:] == [f"{10 * 1.8**32:g}", "+Inf"]
    assert list(buckets.values())[:3] == [0, 0, 1]
    assert list(buckets.values())[-1] == 2


def test_batches_are_counted_once_and_their_requests_each():
    counts = Metrics()
    counts.batched(BatchStatistics(3, 2, 8, 0.001, 0.002, ((8, 1),)))
    counts.batched(BatchStatistics(4, 2, 8, 0.0005, 0.002, ()))
    found = numbers(page(counts.snapshot()))
    batching = f"{TFS}batching_session:"
    assert found[f"{batching}wrapped_run_count{{}}"] == 1
    assert found[f"{batching}processed_batch_size_sum{{}}"] == 8
    assert found[f"{batching}input_batch_size_count{{}}"] == 4
    assert found[f"{batching}input_batch_size_sum{{}}"] == 14
    assert found[f'{batching}padding_size_sum{{execution_batch_size="8"}}'] == 1
    assert found[f'{batching}queuing_latency_count{{thread_pool_name=""}}'] == 2
    assert found[f'{batching}queuing_latency_sum{{thread_pool_name=""}}'] == pytest.approx(1500)


def test_warmups_are_counted():
    counts = Metrics()
    counts.warmed_up(Path("/models/m/1"), 0.5, "OK", 3)
    found = numbers(page(counts.snapshot()))
    labels = 'model_path="/models/m/1"'
    assert found[f'{TFS}model_warmup_latency_sum{{{labels},status="OK"}}'] == 500000
    assert found[f"{TFS}model_warmup_records_read{{{labels}}}"] == 3


def test_every_metric_is_on_the_page_before_anything_happens():
    lines = page(Metrics().snapshot()).splitlines()
    assert lines == [
        f"# TYPE {name} {'histogram' if METRICS[name].limits else 'counter'}"
        for name in sorted(METRICS)
    ]
    assert f"# TYPE {TFS}request_count counter" in lines


@given(name=st.text(max_size=20))
def test_any_name_of_a_model_makes_a_page_that_can_be_read(name):
    found = counted(request(model=name))
    escaped = name.replace("\0", "\ufffd")
    for plain, written in (("\\", r"\\"), ('"', r"\""), ("\n", r"\n")):
        escaped = escaped.replace(plain, written)
    assert found[f'{TFS}request_count{{model_name="{escaped}",status="OK"}}'] == 1


def test_names_of_no_model_take_no_more_memory_than_some():
    counts = Metrics()
    for number in range(1000):
        counts.observe(request(model=f"stranger {number}", version=None, code="NOT_FOUND"))
    counts.observe(request(model="x" * 10**6, version=None, code="NOT_FOUND"))
    counts.observe(request(model="served"))
    found = numbers(page(counts.snapshot()))
    assert found[f'{TFS}request_count{{model_name="(other)",status="NOT_FOUND"}}'] == 901
    assert found[f'{TFS}request_count{{model_name="served",status="OK"}}'] == 1
    assert len(counts._cells) < 110
    assert len(page(counts.snapshot())) < 100_000


def test_counts_of_several_processes_are_summed():
    processes = [Metrics() for _ in range(3)]
    for number, counts in enumerate(processes):
        for _ in range(number):
            counts.observe(request(rows=1))
        counts.observe(request(model=f"m{number}"))
        counts.batched(BatchStatistics(1, 1, 1, 0.001, 0.002, ((1, 0),)))
    sent = [json.loads(json.dumps(counts.snapshot())) for counts in processes]
    found = numbers(page(merge(sent)))
    assert found[f'{TFS}request_count{{model_name="m",status="OK"}}'] == 3
    assert found[f'{TFS}request_count{{model_name="m0",status="OK"}}'] == 1
    assert found[f"{TFS}batching_session:wrapped_run_count{{}}"] == 3
    assert merge([sent[0]]) == sent[0]
    assert page(merge([])) == page(Metrics().snapshot())


def test_a_snapshot_stays_as_it_was():
    counts = Metrics()
    counts.observe(request())
    before = counts.snapshot()
    text = page(before)
    counts.observe(request())
    merge([before, before])
    assert page(before) == text


def test_no_count_is_lost_between_threads():
    counts = Metrics()

    def count() -> None:
        for _ in range(2000):
            counts.observe(request(rows=1))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = numbers(page(counts.snapshot()))
    assert found[f'{TFS}request_count{{model_name="m",status="OK"}}'] == 16000


def test_the_default_path_is_tensorflow_serving_s():
    assert metrics.DEFAULT_PATH == "/monitoring/prometheus/metrics"
