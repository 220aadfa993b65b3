"""The server under load, with clients that leave, deadlines that pass and queues that are full."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    prediction_service_pb2_grpc,
)

from serving.errors import ServingError
from serving.server import config_files
from serving.server.lifecycle.version_policy import Model, State
from tests.serving.in_process import Http, InProcess, serving_both
from tests.serving.saved_models import (
    floats,
    half_plus_two,
    publish,
    request,
    stateless,
    tensor,
)
from tests.serving.waiting import eventually

BATCHING = config_files.BatchingParameters(
    max_batch_size={"value": 4},
    batch_timeout_micros={"value": 1000},
    max_enqueued_batches={"value": 100},
)
ENDLESS = 2**62


def count_rows(path: Path) -> Path:
    """Counts to each of its numbers, as slow as one likes; requests can be batched."""

    def count(numbers):
        counted = tf.while_loop(
            lambda i: tf.reduce_any(i < numbers),
            lambda i: (tf.minimum(i + 1, numbers),),
            [tf.zeros_like(numbers)],
            parallel_iterations=1,
        )
        return {"counted": counted[0]}

    return stateless(path, tensor(tf.int64, None), serving_default=count)


@pytest.fixture(scope="module")
def counting(tmp_path_factory) -> Path:
    base = tmp_path_factory.mktemp("counting")
    count_rows(base / "1")
    return base


@contextmanager
def stub_of(server: InProcess) -> Iterator[Any]:
    with grpc.insecure_channel(server.grpc) as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def asked(number: int) -> Any:
    return request("count", numbers=np.array([number], np.int64))


def second_long(stub: Any) -> int:
    """Returns a number to which the model counts for about a second."""
    stub.Predict(asked(1), timeout=60)
    begun = time.monotonic()
    stub.Predict(asked(3000), timeout=60)
    return int(3000 / (time.monotonic() - begun))


def refused(call: Any, *arguments: Any, **options: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call(*arguments, **options)
    error: Any = raised.value
    return error.code().name, error.details()


class Load:
    """Clients that ask on and on, over gRPC and REST, and what they are answered."""

    def __init__(self, server: InProcess) -> None:
        self.versions: Counter[int] = Counter()
        self.values: Counter[float] = Counter()
        self.problems: list[object] = []
        self._server = server
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._until_ended, args=[ask])
            for ask in (self._grpc, self._grpc, self._rest, self._rest)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def met(self, version: int, before: int) -> bool:
        """Whether both transports have answered with a version, or something went wrong."""
        both = self.versions[version] and self.values[version % 4] > before
        return bool(both or self.problems)

    def _until_ended(self, ask: Any) -> None:
        try:
            ask()
        except Exception as error:
            self.problems.append(error)

    def _grpc(self) -> None:
        with stub_of(self._server) as stub:
            while not self._ended.is_set():
                answer = stub.Predict(request("m", x=floats(0)), timeout=60)
                version = answer.model_spec.version.value
                if list(answer.outputs["y"].float_val) != [version % 4]:
                    self.problems.append(answer)
                self.versions[version] += 1

    def _rest(self) -> None:
        http = Http(self._server.rest_port)
        while not self._ended.is_set():
            status, answer = http.predict("m", instances=[0.0])
            if status != 200:
                self.problems.append(answer)
            else:
                self.values[answer["predictions"][0]] += 1
        http.close()


@pytest.mark.parametrize("batching", [None, BATCHING], ids=["unbatched", "batched"])
def test_versions_come_and_go_under_load_without_a_failed_request(tmp_path, batching):
    """Over both transports; each answer over gRPC is the one of the version that it names."""
    kinds = [half_plus_two(tmp_path / f"kind{i}", two=float(i)) for i in range(4)]
    base = tmp_path / "m"
    base.mkdir()
    publish(kinds[1], base, 1)
    with (
        serving_both(Model("m", base), batching=batching, poll_seconds=0.02) as server,
        Load(server) as load,
    ):
        for version in range(2, 12):
            before = load.values[version % 4]
            publish(kinds[version % 4], base, version)
            eventually(partial(load.met, version, before))
            assert load.problems == []
    assert load.problems == []
    assert sorted(load.versions) == list(range(1, 12))


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(counting):
    """With one thread for each transport, the next request shows that it is free again."""
    with (
        serving_both(Model("count", counting), threads=1) as server,
        stub_of(server) as stub,
    ):
        number = second_long(stub)
        leaving = stub.Predict.future(asked(number), timeout=60)
        time.sleep(0.1)
        leaving.cancel()
        assert stub.Predict(asked(3), timeout=60).outputs["counted"].int64_val == [3]

        body = json.dumps({"instances": [number]}).encode()
        head = (
            f"POST /v1/models/count:predict HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        for sent in (head + body, head + body[:5], head, head[:20]):
            with socket.create_connection(("127.0.0.1", server.rest_port)) as client:
                client.sendall(sent)
                time.sleep(0.1)
        http = Http(server.rest_port)
        assert http.predict("count", instances=[3]) == (200, {"predictions": [3]})
        http.close()

        nothing = model_management_pb2.ReloadConfigRequest()
        nothing.config.model_config_list.SetInParent()
        server.core.reload(nothing)
        eventually(lambda: state(server) is State.END)


def test_requests_given_up_before_their_turn_are_not_run(counting, monkeypatch):
    run = []
    with (
        serving_both(Model("count", counting), threads=1) as server,
        stub_of(server) as stub,
    ):
        number = second_long(stub)
        predict = server.core.predict

        def counted(message: Any, timeout: float | None) -> Any:
            run.append(message.inputs["numbers"])
            return predict(message, timeout)

        monkeypatch.setattr(server.core, "predict", counted)
        slow = stub.Predict.future(asked(number), timeout=60)
        eventually(lambda: run)
        given_up = [stub.Predict.future(asked(2), timeout=60) for _ in range(5)]
        late = [stub.Predict.future(asked(2), timeout=0.2) for _ in range(5)]
        time.sleep(0.1)
        for waiting in given_up:
            waiting.cancel()
        assert [refused(waiting.result)[0] for waiting in late] == ["DEADLINE_EXCEEDED"] * 5
        assert slow.result().outputs["counted"].int64_val == [number]
        stub.Predict(asked(3), timeout=60)
    assert len(run) == 2


def state(server: InProcess) -> State:
    asked = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "count"})
    return State(server.core.status(asked).model_version_status[0].state)


@pytest.mark.parametrize("batching", [None, BATCHING], ids=["unbatched", "batched"])
def test_a_request_past_its_deadline_ends_and_its_thread_is_free_again(counting, batching):
    with (
        serving_both(
            Model("count", counting), batching=batching, threads=1, timeout_seconds=0.3
        ) as server,
        stub_of(server) as stub,
    ):
        stub.Predict(asked(1), timeout=60)
        code, _ = refused(stub.Predict, asked(ENDLESS), timeout=0.3)
        assert code == "DEADLINE_EXCEEDED"
        assert stub.Predict(asked(3), timeout=60).outputs["counted"].int64_val == [3]
        # The client gives up by itself; what the server says is seen where none does.
        with pytest.raises(ServingError) as raised:
            server.core.predict(asked(ENDLESS), timeout=0.3)
        assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert raised.value.message == "Timed out waiting for notification"
        http = Http(server.rest_port)
        assert http.predict("count", instances=[ENDLESS]) == (
            504,
            {"error": "Timed out waiting for notification"},
        )
        assert stub.Predict(asked(3), timeout=60).outputs["counted"].int64_val == [3]
        http.close()


def test_beyond_a_full_queue_requests_are_refused_and_the_others_answered(counting):
    one = config_files.BatchingParameters(
        max_batch_size={"value": 1},
        max_enqueued_batches={"value": 1},
        num_batch_threads={"value": 1},
    )
    text = (
        "The batch scheduling queue to which this task was submitted is full; currently 1 "
        "batches enqueued and max_enqueued_batches is 1"
    )
    with (
        serving_both(Model("count", counting), batching=one) as server,
        stub_of(server) as stub,
    ):
        number = second_long(stub) // 3

        def ask(_: int) -> tuple[Any, str]:
            try:
                stub.Predict(asked(number), timeout=60)
            except grpc.RpcError as error:
                told: Any = error
                return told.code().name, told.details()
            return "OK", ""

        def ask_rest(_: int) -> tuple[Any, str]:
            http = Http(server.rest_port)
            status, answer = http.predict("count", instances=[number])
            http.close()
            return status, answer.get("error", "")

        for kind, ok, full in ((ask, "OK", "UNAVAILABLE"), (ask_rest, 200, 503)):
            with ThreadPoolExecutor(6) as pool:
                outcomes = Counter(pool.map(kind, range(6)))
            assert set(outcomes) == {(ok, ""), (full, text)}
        assert stub.Predict(asked(3), timeout=60).outputs["counted"].int64_val == [3]
