"""What samples and Prometheus pages say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load import Load, Sample
from benchmarks.samples import Histogram, Row, Served, bars, histogram, ratios

PAGE = """\
# TYPE :tensorflow:serving:request_latency histogram
:tensorflow:serving:request_latency_bucket{model_name="m",API="predict",entrypoint="GRPC",le="10"} 1
:tensorflow:serving:request_latency_bucket{model_name="m",API="predict",entrypoint="GRPC",le="18"} 3
:tensorflow:serving:request_latency_bucket{model_name="m",API="predict",entrypoint="GRPC",le="+Inf"} 4
:tensorflow:serving:request_latency_sum{model_name="m",API="predict",entrypoint="GRPC"} 100
:tensorflow:serving:request_latency_count{model_name="m",API="predict",entrypoint="GRPC"} 4
:tensorflow:serving:request_latency_bucket{model_name="m",API="predict",entrypoint="REST",le="10"} 0
:tensorflow:serving:request_latency_bucket{model_name="m",API="predict",entrypoint="REST",le="18"} 1
:tensorflow:serving:request_latency_bucket{model_name="m",API="predict",entrypoint="REST",le="+Inf"} 1
:tensorflow:serving:request_latency_sum{model_name="m",API="predict",entrypoint="REST"} 12.5
:tensorflow:serving:request_latency_count{model_name="m",API="predict",entrypoint="REST"} 1
:tensorflow:serving:request_latency_bucket{model_name="a \\"b\\"",le="+Inf"} 7
:tensorflow:serving:request_latency_sum{model_name="a \\"b\\""} 7
# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="m",status="OK"} 5
:tensorflow:serving:batching_session:processed_batch_size_bucket{le="1"} 2
:tensorflow:serving:batching_session:processed_batch_size_bucket{le="+Inf"} 2
:tensorflow:serving:batching_session:processed_batch_size_sum{} 2
"""  # noqa: E501


def test_a_histogram_is_the_sum_of_the_series_with_its_labels():
    found = histogram(PAGE, "request_latency", {"model_name": "m"})
    assert found
    assert found.bounds == (10, 18, np.inf)
    assert found.counts.tolist() == [1, 3, 1]
    assert (found.count, found.total, found.mean) == (5, 112.5, 22.5)
    rest = histogram(PAGE, "request_latency", {"model_name": "m", "entrypoint": "REST"})
    assert rest
    assert (rest.count, rest.total) == (1, 12.5)


def test_labels_may_hold_quotes_or_be_missing():
    quoted = histogram(PAGE, "request_latency", {"model_name": '\\"b\\"'.join(["a ", ""])})
    assert quoted
    assert quoted.count == 7
    bare = histogram(PAGE, "batching_session:processed_batch_size")
    assert bare
    assert (bare.count, bare.total) == (2, 2)


@pytest.mark.parametrize("name", ["request_count", "runtime_latency", "latency"])
def test_what_a_page_lacks_is_none(name):
    assert histogram(PAGE, name) is None
    assert histogram("", name) is None


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=6),
    st.floats(0, 1e6),
)
def test_histograms_add_up_and_subtract(pairs, total):
    bounds = tuple(float(bound) for bound in range(len(pairs)))
    one, other = (
        Histogram(bounds, np.array(counts, float), total) for counts in zip(*pairs, strict=True)
    )
    back = (one + other) - other
    assert back.counts.tolist() == one.counts.tolist()
    assert back.total == pytest.approx(total)


def test_sizes_go_from_the_first_that_there_was_to_the_last():
    held = Histogram((1, 2, 4, 8, 16, np.inf), np.array([0, 3.0, 0, 1, 0, 2]), 60)
    assert held.sizes() == {"1": 3, "2–3": 0, "4–7": 1, "8–15": 0, ">=16": 2}
    empty = Histogram((1, 2), np.zeros(2), 0)
    assert empty.sizes() == {}
    assert np.isnan(empty.mean)


def row(*rounds: Sample, served: Served | None = None) -> Row:
    return Row("experiment", "system", Load(1, 1), rounds, served or Served())


def sample(*milliseconds: float, seconds: float = 1.0, errors: int = 0) -> Sample:
    text = "UNAVAILABLE: down" if errors else ""
    return Sample(seconds, np.array(milliseconds) / 1e3, errors, text)


def test_percentiles_are_those_of_all_rounds():
    both = row(sample(*range(0, 50)), sample(*range(50, 101)))
    assert [both.milliseconds(p) for p in (50, 90, 99)] == pytest.approx([50, 90, 99])


def test_rates_are_the_median_and_the_best_rounds():
    three = row(sample(1, 1), sample(1, 1, 1), sample(*[1] * 10))
    assert (three.rate, three.best) == (3, 10)


def test_a_row_without_answers_says_so():
    failed = row(sample(errors=2), sample(errors=1))
    assert (failed.rate, failed.errors, failed.error) == (0, 3, "UNAVAILABLE: down")
    assert np.isnan(failed.milliseconds(50))
    assert failed.split is None


def test_ratios_compare_rounds_that_followed_each_other():
    own = row(sample(1, 1), sample(1))
    reference = row(sample(1), sample(1, 1, 1, 1))
    assert ratios(own, reference).tolist() == [2, 0.25]
    assert np.isnan(ratios(own, row(sample(), sample()))).all()


def microseconds(mean: float, count: int = 4) -> Histogram:
    return Histogram((np.inf,), np.array([float(count)]), mean * count)


def test_the_split_adds_up_to_the_clients_mean():
    served = Served(microseconds(6000), microseconds(5000), microseconds(1500))
    split = row(sample(8, 12), served=served).split
    assert split
    assert (split.transport, split.codec) == pytest.approx((4, 1))
    assert (split.queue, split.runtime) == pytest.approx((1.5, 3.5))


def test_without_batching_nothing_waits():
    split = row(sample(8), served=Served(microseconds(6000), microseconds(5000))).split
    assert split
    assert (split.queue, split.runtime) == pytest.approx((0, 5))


def test_a_served_model_is_read_from_its_page():
    served = Served.of(PAGE, "m")
    assert served.request
    assert served.request.count == 5
    assert served.batches
    assert served.batches.mean == 1
    assert (served.runtime, served.queue) == (None, None)
    assert Served.of("", "m") == Served()


def test_what_came_between_two_pages_is_their_difference():
    before, after = Served.of("", "m"), Served.of(PAGE, "m")
    new = after.since(before)
    assert new.request
    assert new.request.count == 5
    nothing = after.since(after)
    assert nothing.request
    assert nothing.request.count == 0
    twice = after + after
    assert twice.request
    assert twice.request.count == 10


@pytest.mark.parametrize(
    ("counts", "text"), [([], ""), ([0, 0], ""), ([8, 0, 1], "█ ▁"), ([1, 1], "██")]
)
def test_bars_are_as_high_as_their_counts(counts, text):
    assert bars(counts) == text
