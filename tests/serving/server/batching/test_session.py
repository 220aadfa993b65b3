"""Requests that are run together: they answer as if alone, and say how they were run."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.errors import ServingError
from serving.server.batching.session import BatchingSession
from serving.server.config_files import BatchingParameters
from serving.server.lifecycle.manager import Manager
from serving.server.lifecycle.version_policy import Model, State
from serving.server.monitoring.batch_statistics import BatchStatistics
from serving.server.servables.session import Session
from tests.serving.saved_models import floats, publish, stateless, tensor

# A batch closes when it is full, long before this.
LONG = "batch_timeout_micros { value: 20000000 }"
SHORT = "batch_timeout_micros { value: 1000 }"


def strings(*values: bytes) -> np.ndarray:
    return np.array(values, object)


def parameters(text: str, size: int | None = None):
    if size is not None:
        text += f" max_batch_size {{ value: {size} }}"
    return text_format.Parse(text, BatchingParameters())


def slow(path: Path) -> Path:
    """Returns each number, after counting to the largest of them."""

    def count(number):
        most = tf.reduce_max(number)
        loop = tf.while_loop(
            lambda i: i < most, lambda i: i + 1, [tf.constant(0, tf.int64)], parallel_iterations=1
        )
        with tf.control_dependencies(loop):
            return {"number": tf.identity(number)}

    return stateless(path, tensor(tf.int64, None), serving_default=count)


def odd(path: Path) -> Path:
    """Outputs that do not follow the rows, and a check that some inputs fail."""

    def positive(x):
        with tf.control_dependencies([tf.debugging.assert_positive(x, "not positive")]):
            return {"x": tf.identity(x)}

    def doubled(x):
        return {"x": tf.concat([x, x], axis=0)}

    return stateless(
        path,
        tensor(tf.float32, None),
        serving_default=lambda x: {"x": x + 1.0, "version": tf.constant(["1.0"])},
        total=lambda x: {"x": tf.reduce_sum(x)},
        doubled=doubled,
        positive=positive,
    )


def tensorflow_1(path: Path) -> Path:
    """What only TensorFlow 1 wrote: loops of frames, reference variables, waiting operations."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        v1.disable_control_flow_v2()
        try:
            x = v1.placeholder(tf.float32, [None], name="x")
            weight = v1.get_variable("weight", initializer=2.0, use_resource=False)
            reads = v1.get_variable("reads", initializer=1.0, use_resource=False)
            with graph.control_dependencies([reads.initializer]):
                waited = tf.identity(x)
            _, looped = tf.while_loop(
                lambda i, _: i < 3, lambda i, y: (i + 1, y * weight), [0, waited]
            )
            parts = tf.split(tf.stack([x, x * 10.0], axis=1), 2, axis=1)
            chosen = v1.cond(tf.reduce_sum(x) > -1e9, lambda: x + weight, lambda: x)
        finally:
            v1.enable_control_flow_v2()
        outputs = {"looped": looped, "second": tf.squeeze(parts[1], 1), "chosen": chosen}
        total = v1.get_variable("total", initializer=0.0, use_resource=False)
        added = {"x": x + 0.0 * v1.assign_add(total, tf.reduce_sum(x))}
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.build_tensor_info
        signatures = {
            key: v1.saved_model.build_signature_def(
                {"x": info(x)}, {name: info(output) for name, output in named.items()}
            )
            for key, named in {"serving_default": outputs, "changes_a_variable": added}.items()
        }
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()
    return path


@pytest.fixture(scope="module")
def models(repository, tmp_path_factory) -> dict[str, Path]:
    """The repository's models and those above."""
    base = tmp_path_factory.mktemp("batched")
    own = {build.__name__: build(base / build.__name__) for build in (slow, odd, tensorflow_1)}
    return {folder.name: folder / "1" for folder in repository.iterdir()} | own


class Opened:
    """A session with batching, what it observed, and the same model without."""

    def __init__(self, path: Path, message) -> None:
        self.statistics: list[BatchStatistics] = []
        self.session = BatchingSession(Session(path), message, self.statistics.append)
        self.alone = Session(path)

    def arguments(self, signature: str, inputs: dict[str, Any]) -> tuple[dict, list[str]]:
        definition = self.session.signatures[signature]
        feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
        return feeds, [info.name for _, info in sorted(definition.outputs.items())]

    def ask(self, signature: str = "serving_default", timeout: float | None = None, **inputs: Any):
        return self.session.run(*self.arguments(signature, inputs), timeout)

    def expected(self, signature: str = "serving_default", **inputs: Any):
        return self.alone.run(*self.arguments(signature, inputs))

    def together(self, *requests: dict[str, Any], signature: str = "serving_default") -> list:
        """Runs requests at the same time; an error stands for an answer."""

        def one(inputs: dict[str, Any]):
            try:
                return self.ask(signature, **inputs)
            except ServingError as error:
                return error

        with ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(one, requests))


@pytest.fixture
def opened(models):
    """Opens models with parameters and closes them in the end."""
    sessions: list[Opened] = []

    def opened(model: str, text: str, size: int | None = None) -> Opened:
        sessions.append(Opened(models[model], parameters(text, size)))
        return sessions[-1]

    yield opened
    for session in sessions:
        session.session.close()
        session.alone.close()


def same(answer: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for ours, theirs in zip(answer, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def refused(code: grpc.StatusCode, text: str, function) -> None:
    with pytest.raises(ServingError) as raised:
        function()
    assert (raised.value.code, raised.value.message) == (code, text)


def image(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), np.uint8)
    return tf.io.encode_png(pixels).numpy()


DTYPES = {
    name: np.ones((1, 2), tf.as_dtype(name).as_numpy_dtype)
    for name in (
        *("float16", "float32", "float64", "bfloat16", "complex64", "complex128", "bool"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    )
} | {"string": np.array([[b"a", b"b\0"]], object)}

REQUESTS: dict[tuple[str, str], tuple[dict[str, Any], ...]] = {
    ("half_plus_two", "serving_default"): ({"x": floats(1)}, {"x": floats(2, 3)}, {"x": floats(4)}),
    ("half_plus_two_of_tensorflow_1", "serving_default"): (
        {"x": floats(1)},
        {"x": floats(2, 3)},
        {"x": floats(4)},
    ),
    ("half_plus_two_of_tensorflow_1", "without_index"): tuple({"x": floats(i)} for i in range(4)),
    ("sum_and_difference", "serving_default"): (
        {"a": floats(1), "b": floats(2)},
        {"a": floats(3, 4, 5), "b": floats(6, 7, 8)},
    ),
    ("sum_and_difference", "only_sum"): tuple({"a": floats(i), "b": floats(10)} for i in range(4)),
    ("echo", "serving_default"): ({"text": strings(b"\0a\0", b"")}, {"text": strings(b"c", b"d")}),
    ("flatten", "serving_default"): tuple(
        {"images": np.full((1, 2, 2, 1), i, np.float32)} for i in range(4)
    ),
    ("count", "convolve"): tuple(
        {"images": np.full((1, 8, 8, 1), i, np.float32)} for i in range(4)
    ),
    ("every_dtype", "serving_default"): (DTYPES, DTYPES, DTYPES, DTYPES),
    ("vocabulary", "serving_default"): (
        {"words": strings(b"one", b"three")},
        {"words": strings(b"two", b"zero")},
    ),
    ("brightness", "image_bytes"): tuple({"image_bytes": strings(image(i))} for i in range(4)),
    ("slow", "serving_default"): tuple({"number": np.array([i], np.int64)} for i in range(4)),
    ("tensorflow_1", "serving_default"): (
        {"x": floats(1)},
        {"x": floats(2, 3)},
        {"x": floats(4)},
    ),
}


@pytest.mark.parametrize("padding", ["", "pad_variable_length_inputs: true"])
@pytest.mark.parametrize(("model", "signature"), REQUESTS)
def test_requests_of_four_rows_are_one_batch_and_answer_as_if_alone(
    opened, model, signature, padding
):
    requests = REQUESTS[model, signature]
    session = opened(model, f"{LONG} {padding}", 4)
    for answer, inputs in zip(
        session.together(*requests, signature=signature), requests, strict=True
    ):
        same(answer, session.expected(signature, **inputs))
    assert {each.batch_size for each in session.statistics} == {4}
    assert [batch for each in session.statistics for batch in each.batches] == [(4, 0)]
    assert sum(each.rows for each in session.statistics) == 4


def test_a_request_knows_how_long_it_waited_and_ran(opened):
    session = opened("half_plus_two", "batch_timeout_micros { value: 50000 }", 8)
    begun = time.monotonic()
    session.ask(x=floats(1))
    total = time.monotonic() - begun
    (statistics,) = session.statistics
    assert 0.04 < statistics.queue_seconds < total
    assert 0 <= statistics.runtime_seconds < total


def test_a_batch_is_padded_to_an_allowed_size(opened):
    session = opened("half_plus_two", f"{SHORT} allowed_batch_sizes: 4 allowed_batch_sizes: 16", 16)
    same(session.ask(x=floats(1, 2, 3)), [floats(2.5, 3, 3.5)])
    same(session.ask(x=floats(*range(7))), session.expected(x=floats(*range(7))))
    same(session.ask(x=floats(*range(16))), session.expected(x=floats(*range(16))))
    assert [each.batches for each in session.statistics] == [
        ((4, 1),),
        ((16, 9),),
        ((16, 0),),
    ]


def test_padding_is_not_taken_for_a_request_of_one_row(opened):
    session = opened("half_plus_two", f"{LONG} num_batch_threads {{ value: 1 }}", 4)
    session.together(*({"x": floats(1)} for _ in range(4)))
    assert [batch for each in session.statistics for batch in each.batches] == [(4, 0)]


def test_a_full_queue_refuses(opened):
    session = opened(
        "slow",
        "num_batch_threads { value: 1 } max_enqueued_batches { value: 1 }",
        1,
    )
    session.ask(number=np.array([0], np.int64))
    with ThreadPoolExecutor(6) as pool:
        number = np.array([2**62], np.int64)
        waiting = [pool.submit(session.ask, timeout=0.5, number=number) for _ in range(6)]
        errors = [
            error for future in waiting if isinstance(error := future.exception(), ServingError)
        ]
    assert len(errors) == len(waiting)
    refusals = [error.message for error in errors if error.code is grpc.StatusCode.UNAVAILABLE]
    assert len(refusals) >= 3
    assert set(refusals) == {
        "The batch scheduling queue to which this task was submitted is full; currently 1 batches "
        "enqueued and max_enqueued_batches is 1"
    }
    others = {error.message for error in errors if error.code is not grpc.StatusCode.UNAVAILABLE}
    assert others == {"Timed out waiting for notification"}


def test_a_request_larger_than_a_batch_is_refused(opened):
    session = opened("half_plus_two", SHORT, 4)
    refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        "Task size 5 is larger than maximum input batch size 4",
        lambda: session.ask(x=floats(1, 2, 3, 4, 5)),
    )


@pytest.mark.parametrize(
    ("text", "largest"),
    [
        ("", 8),
        ("max_execution_batch_size { value: 2 }", 2),
        ("allowed_batch_sizes: 3 allowed_batch_sizes: 8", 8),
        ("max_execution_batch_size { value: 5 } allowed_batch_sizes: 3 allowed_batch_sizes: 8", 5),
        ("max_execution_batch_size { value: 3 } pad_variable_length_inputs: true", 3),
    ],
)
def test_large_requests_are_split(opened, text, largest):
    session = opened(
        "half_plus_two",
        f"{SHORT} enable_large_batch_splitting {{ value: true }} {text} "
        "max_enqueued_batches { value: 100 }",
        8,
    )
    requests = [{"x": np.arange(rows, dtype=np.float32)[:, None]} for rows in (7, 1, 8, 3)]
    for answer, inputs in zip(session.together(*requests), requests, strict=True):
        same(answer, session.expected(**inputs))
    batches = [batch for each in session.statistics for batch in each.batches]
    assert sum(size - padding for size, padding in batches) == 7 + 1 + 8 + 3
    assert max(size for size, _ in batches) <= largest


def test_a_split_request_that_fails_in_a_part_answers_with_its_error(opened):
    session = opened(
        "odd",
        f"{SHORT} enable_large_batch_splitting {{ value: true }} "
        "max_execution_batch_size { value: 2 }",
        8,
    )
    bad, good = {"x": floats(1, 2, 3, 4, -5)}, {"x": floats(1, 2, 3)}
    for _ in range(5):
        error, answer = session.together(bad, good, signature="positive")
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        assert "not positive" in error.message
        same(answer, [floats(1, 2, 3)])


def test_parts_that_are_filled_up_to_several_lengths_are_run_as_one(opened):
    session = opened(
        "half_plus_two",
        "batch_timeout_micros { value: 200000 } enable_large_batch_splitting { value: true } "
        "max_execution_batch_size { value: 2 } pad_variable_length_inputs: true",
        4,
    )
    wide, narrow = np.ones((1, 4), np.float32), np.ones((3, 2), np.float32)
    answers = session.together({"x": wide}, {"x": narrow})
    assert [len(answer) for (answer,) in answers] == [1, 3]


def test_a_bad_request_spoils_no_neighbour(opened):
    """TensorFlow Serving fails the whole batch."""
    session = opened("odd", LONG, 4)
    requests = [{"x": floats(1)}, {"x": floats(-2)}, {"x": floats(3, 4)}]
    first, bad, last = session.together(*requests, signature="positive")
    same(first, [floats(1)])
    same(last, [floats(3, 4)])
    refused(bad.code, bad.message, lambda: session.expected("positive", x=floats(-2)))


def test_rows_of_several_shapes_wait_in_queues_of_their_own(opened):
    """TensorFlow Serving fails the whole batch."""
    session = opened("half_plus_two", LONG, 2)
    wide, narrow = np.ones((1, 2), np.float32), np.ones((1, 3), np.float32)
    requests = [{"x": wide}, {"x": narrow}, {"x": wide}, {"x": narrow}]
    for answer, inputs in zip(session.together(*requests), requests, strict=True):
        same(answer, session.expected(**inputs))
    assert [each.batch_size for each in session.statistics] == [2] * 4


def test_however_many_shapes_there_are_each_answers(opened):
    session = opened("half_plus_two", SHORT, 8)
    requests = [{"x": np.ones((1, width), np.float32)} for width in range(1, 31)]
    for answer, inputs in zip(session.together(*requests), requests, strict=True):
        same(answer, session.expected(**inputs))
    assert session.session._scheduler._queues == {}


def texts(array: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda value: f"\0{value}".encode(), otypes=[object])(array)


@pytest.fixture(scope="module")
def padded(tmp_path_factory):
    """A model that returns numbers and strings of any shape as they are, with padding."""
    module = tf.Module()
    module.function = tf.function(lambda **inputs: {k: tf.identity(v) for k, v in inputs.items()})
    concrete = module.function.get_concrete_function(
        number=tf.TensorSpec(None, tf.int32, "number"), text=tf.TensorSpec(None, tf.string, "text")
    )
    path = tmp_path_factory.mktemp("padded") / "1"
    tf.saved_model.save(module, str(path), signatures=concrete)
    session = Opened(path, parameters(f"{LONG} pad_variable_length_inputs: true", 6))
    yield session
    session.session.close()
    session.alone.close()


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.parametrize("rank", [2, 3, 6])
def test_shorter_rows_are_filled_up_with_their_first_element(padded, rank, data):
    sizes = st.tuples(*[st.integers(1, 4)] * (rank - 1))
    shapes = [(rows, *data.draw(sizes)) for rows in data.draw(st.permutations([1, 2, 3]))]
    numbers = [
        1000 * i + np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
        for i, shape in enumerate(shapes)
    ]
    longest = tuple(np.max([shape[1:] for shape in shapes], axis=0))
    answers = padded.together(*({"number": array, "text": texts(array)} for array in numbers))
    for array, answer in zip(numbers, answers, strict=True):
        filled = np.full((len(array), *longest), array.flat[0], np.int32)
        filled[tuple(slice(size) for size in array.shape)] = array
        same(answer, [filled, texts(filled)])


def test_filling_up_knows_ranks_to_six_and_empty_rows(opened):
    session = opened("every_dtype", f"{SHORT} pad_variable_length_inputs: true", 4)
    one = {name: array[:, 0] for name, array in DTYPES.items()}
    same(session.ask(**one), session.expected(**one))
    empty = {name: array[:, :0] for name, array in DTYPES.items()}
    same(session.ask(**empty), session.expected(**empty))
    deep = {name: array[..., None, None, None, None, None] for name, array in DTYPES.items()}
    refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        "Only tensors with rank from 1 to 6 can be padded.",
        lambda: session.ask(**deep),
    )


def test_a_scalar_and_unequal_numbers_of_rows_are_refused(opened):
    session = opened("sum_and_difference", SHORT, 4)
    refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        "Batching Run() input tensors must have at least one dimension",
        lambda: session.ask(a=np.float32(1), b=floats(1)),
    )
    refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        "Batching Run() input tensors must have equal 0th-dimension size",
        lambda: session.ask(a=floats(1, 2), b=floats(1)),
    )
    refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        "Batching Run() must have at least one input tensor",
        lambda: session.session.run({}, ["only_sum_a:0"]),
    )


def test_a_request_without_rows_is_answered(opened):
    """TensorFlow Serving never answers."""
    session = opened("half_plus_two", LONG, 4)
    same(session.ask(x=floats()), [floats()])
    assert session.statistics == []


def test_a_wrong_dtype_is_refused_as_without_batching(opened):
    """TensorFlow Serving answers INTERNAL."""
    session = opened("half_plus_two", SHORT, 4)
    refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        "Expects arg[0] to be float but double is provided",
        lambda: session.ask(x=np.array([1.0])),
    )


@pytest.mark.parametrize(
    ("signature", "text"),
    [
        ("total", "Batched output tensor has 0 dimensions"),
        (
            "doubled",
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
            "sizes of the input tensors",
        ),
    ],
)
def test_an_output_that_has_no_row_for_each_row_is_refused(opened, signature, text):
    session = opened("odd", SHORT, 4)
    refused(
        grpc.StatusCode.FAILED_PRECONDITION, text, lambda: session.ask(signature, x=floats(1, 2))
    )


def test_an_output_that_no_input_changes_counts_as_any_other(opened):
    session = opened("odd", LONG, 3)
    one, two = session.together({"x": floats(1)}, {"x": floats(2, 3)})
    assert [array.tolist() for array in one] == [[b"1.0"], [2.0]]
    assert two.code is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("signature", ["passes_through", "broken"])
def test_what_cannot_be_run_is_refused_as_without_batching(opened, signature):
    session = opened("half_plus_two_of_tensorflow_1", SHORT, 4)
    with pytest.raises(ServingError) as alone:
        session.expected(signature, x=floats(1))
    refused(alone.value.code, alone.value.message, lambda: session.ask(signature, x=floats(1)))


def test_outputs_come_in_the_order_that_is_asked_for(opened):
    session = opened("sum_and_difference", SHORT, 4)
    feeds, (difference, total) = session.arguments(
        "serving_default", {"a": floats(5), "b": floats(2)}
    )
    answers = session.session.run(feeds, [total, difference, total])
    assert [answer.tolist() for answer in answers] == [[7], [3], [7]]
    same(session.session.run(feeds, [difference]), [floats(3)])


def test_a_request_that_runs_too_long_is_given_up(opened):
    session = opened("slow", "num_batch_threads { value: 1 }", 4)
    begun = time.monotonic()
    refused(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "Timed out waiting for notification",
        lambda: session.ask(number=np.array([2**62], np.int64), timeout=0.2),
    )
    assert time.monotonic() - begun < 10
    same(session.ask(number=np.array([3], np.int64), timeout=30), [np.array([3], np.int64)])


def test_a_neighbour_s_deadline_ends_no_other_request(opened):
    session = opened("half_plus_two", LONG, 2)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(session.ask, timeout=0.05, x=floats(1))
        time.sleep(0.2)
        same(session.ask(timeout=30, x=floats(2)), [floats(3)])
        first.exception()


def test_queues_are_added_while_others_run(opened):
    session = opened("sum_and_difference", SHORT, 8)
    failures: list[BaseException] = []
    stop = threading.Event()

    def keep_asking(number: int) -> None:
        try:
            while not stop.is_set():
                same(
                    session.ask(a=floats(number), b=floats(1)),
                    [floats(number - 1), floats(number + 1)],
                )
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=keep_asking, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for width in range(1, 12):
        a = np.ones((2, width), np.float32)
        for signature in ("serving_default", "only_sum"):
            same(session.ask(signature, a=a, b=a), session.expected(signature, a=a, b=a))
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_versions_come_and_go_while_requests_are_batched(models, tmp_path):
    publish(models["half_plus_two"], tmp_path, 1)
    manager = Manager(
        [Model("m", tmp_path)],
        lambda path: BatchingSession(Session(path), parameters(SHORT, 4)),
        poll_seconds=0.02,
    )
    manager.start()
    failures: list[BaseException] = []
    stop = threading.Event()

    def keep_asking() -> None:
        try:
            while not stop.is_set():
                with manager.acquire("m") as (_, session):
                    definition = session.signatures["serving_default"]
                    feeds = {definition.inputs["x"].name: floats(1)}
                    same(session.run(feeds, [definition.outputs["y"].name]), [floats(2.5)])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=keep_asking) for _ in range(6)]
    for thread in threads:
        thread.start()
    for number in range(2, 6):
        publish(models["half_plus_two"], tmp_path, number)
        while manager.status("m", number - 1)[0].state is not State.END:
            time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    manager.stop()
    assert failures == []


def test_closing_while_requests_wait_leaves_none_behind(models):
    session = BatchingSession(
        Session(models["half_plus_two"]), parameters("batch_timeout_micros { value: 500000 }", 8)
    )
    definition = session.signatures["serving_default"]
    feeds = {definition.inputs["x"].name: floats(2)}
    fetches = [definition.outputs["y"].name]
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(session.run, feeds, fetches) for _ in range(4)]
        time.sleep(0.1)
        session.close()
        for future in waiting:
            error = future.exception(timeout=30)
            assert error is None or isinstance(error, ServingError)
