"""Addresses, retries, balancing and sizes, for both clients."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_serving.apis import (
    predict_pb2,
)

from serving.client import channel
from serving.engines.ports import free_port
from serving.errors import ServingError, UserError
from tests.serving.clients import after_failures, ask, response
from tests.serving.recording import Recorder, bare_server

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


# Addresses


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("localhost:8500", "localhost:8500"),
        ("[::1]:8500", "[::1]:8500"),
        (["models:8500"], "models:8500"),
        ("unix:/tmp/socket", "unix:/tmp/socket"),
        ("unix:/tmp/a,b", "unix:/tmp/a,b"),
        ("dns:///models:8500", "dns:///models:8500"),
        ("127.0.0.1:1,127.0.0.2:2", "ipv4:127.0.0.1:1,127.0.0.2:2"),
        (["127.0.0.1:1", "127.0.0.1:2"], "ipv4:127.0.0.1:1,127.0.0.1:2"),
        (("localhost:1", "127.0.0.2:2"), "ipv4:127.0.0.1:1,127.0.0.2:2"),
        ("[::1]:1,[::2]:2", "ipv6:[::1]:1,[::2]:2"),
    ],
)
def test_one_address_is_grpcs_and_several_are_looked_up(address, target):
    assert channel.target(address) == target


@given(
    st.lists(
        st.text(st.sampled_from("1a.:[]/,é\0 "), max_size=8)
        | st.sampled_from(["127.0.0.1:1", "[::1]:2", "unix:/a", "127.0.0.1:99999999999"]),
        max_size=3,
    )
)
def test_any_addresses_are_taken_or_refused(addresses):
    with contextlib.suppress(UserError, ServingError):
        assert channel.target(addresses)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("", "an address is empty; it must be HOST:PORT or unix:/PATH"),
        ("a:1,", "an address is empty; it must be HOST:PORT or unix:/PATH"),
        ([], "there is no address"),
        (["127.0.0.1:1", "b"], "several addresses must each be HOST:PORT, not 'b'"),
        (["127.0.0.1:1", "b:http"], "several addresses must each be HOST:PORT, not 'b:http'"),
        (["unix:/a", "unix:/b"], "several addresses must each be HOST:PORT, not 'unix:/a'"),
        (["127.0.0.1:1", "dns:a:1"], "several addresses must each be HOST:PORT, not 'dns:a:1'"),
    ],
)
def test_an_address_that_cannot_work_is_refused_in_a_sentence(address, sentence):
    with pytest.raises(UserError) as raised:
        channel.target(address)
    assert str(raised.value) == sentence


def test_a_host_that_nobody_knows_is_out_of_reach():
    with pytest.raises(ServingError, match=r"cannot connect to nobody.invalid:1") as raised:
        channel.target("127.0.0.1:1,nobody.invalid:1")
    assert raised.value.code is UNAVAILABLE


def test_a_unix_socket_is_an_address(connect, tmp_path):
    recorder = Recorder(Predict=response(7))
    with bare_server(recorder, f"unix:{tmp_path}/socket") as address:
        assert ask(connect(address, timeout=10)) == [7]


# Retries


@pytest.mark.parametrize("failures", [1, 2])
def test_unavailable_is_tried_again(connect, failures):
    recorder = Recorder(Predict=after_failures(failures, UNAVAILABLE))
    with bare_server(recorder) as address:
        assert ask(connect(address, timeout=10)) == [1]
    assert recorder.counts() == {"Predict": failures + 1}


@pytest.mark.parametrize("attempts", [1, 2])
def test_attempts_come_to_an_end(connect, attempts):
    recorder = Recorder(Predict=(UNAVAILABLE, "the queue is full"))
    with bare_server(recorder) as address, pytest.raises(ServingError) as raised:
        ask(connect(address, timeout=10, attempts=attempts))
    assert (raised.value.code, raised.value.message) == (UNAVAILABLE, "the queue is full")
    assert recorder.counts() == {"Predict": attempts}


@pytest.mark.parametrize(
    "code",
    [code for code in grpc.StatusCode if code not in (grpc.StatusCode.OK, UNAVAILABLE)],
    ids=lambda code: code.name,
)
def test_any_other_refusal_is_final(connect, code):
    recorder = Recorder(Predict=(code, "no"))
    with bare_server(recorder) as address:
        client = connect(address, timeout=10)
        for _ in range(3):
            with pytest.raises(ServingError) as raised:
                ask(client)
            assert (raised.value.code, raised.value.message) == (code, "no")
    assert recorder.counts() == {"Predict": 3}


def test_a_large_request_is_tried_again_as_well(connect):
    recorder = Recorder(Predict=after_failures(1, UNAVAILABLE))
    with bare_server(recorder) as address:
        client = connect(address, timeout=20)
        client.predict("m", {"x": np.zeros(800_000, np.float32)})
    first, second = recorder.requests("Predict")
    assert first == second
    assert first.ByteSize() > 3_000_000


def test_the_time_for_a_call_covers_all_its_attempts(connect):
    recorder = Recorder(Predict=(UNAVAILABLE, "no"))
    with bare_server(recorder) as address:
        client = connect(address)
        begun = time.monotonic()
        with pytest.raises(ServingError) as raised:
            ask(client, timeout=0.5)
        assert time.monotonic() - begun < 2
    assert raised.value.code in (UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    assert recorder.counts()["Predict"] < 5


def test_a_status_is_asked_for_once(connect):
    recorder = Recorder(GetModelStatus=(UNAVAILABLE, "no"))
    with bare_server(recorder) as address, pytest.raises(ServingError):
        connect(address, timeout=10).status("m")
    assert recorder.counts() == {"GetModelStatus": 1}


@pytest.mark.parametrize("attempts", [0, 6, -1])
def test_attempts_that_grpc_would_change_silently_are_refused(connect, attempts):
    with pytest.raises(UserError, match=f"attempts must be from 1 to 5, not {attempts}"):
        connect("127.0.0.1:1", attempts=attempts)


def test_a_server_that_dies_and_returns_is_survived(connect):
    address = f"127.0.0.1:{free_port()}"
    client = connect(address, timeout=20)
    returned = Recorder(Predict=response(2))
    with bare_server(Recorder(Predict=response(1)), address):
        assert ask(client) == [1]
    ready, done = threading.Event(), threading.Event()

    def come_back() -> None:
        ready.wait(20)
        time.sleep(0.3)
        with bare_server(returned, address):
            done.wait(20)

    thread = threading.Thread(target=come_back)
    thread.start()
    try:
        ready.set()  # The call below finds no server first.
        assert ask(client) == [2]
    finally:
        done.set()
        thread.join()


SERVER = """
import sys, time, grpc
from concurrent.futures import ThreadPoolExecutor

class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(never)

def never(request, context):
    print("asked", flush=True)
    time.sleep(120)

server = grpc.server(ThreadPoolExecutor(1), handlers=[Handler()])
server.add_insecure_port(sys.argv[1])
server.start()
server.wait_for_termination(120)
"""


def test_a_server_that_is_killed_during_a_call_is_survived_too(connect):
    address = f"127.0.0.1:{free_port()}"
    client = connect(address, timeout=60)
    with (
        ThreadPoolExecutor(1) as pool,
        subprocess.Popen([sys.executable, "-c", SERVER, address], stdout=subprocess.PIPE) as dies,
    ):
        while not _listens(address):
            assert dies.poll() is None
            time.sleep(0.05)
        waits = pool.submit(ask, client)
        assert dies.stdout is not None
        assert dies.stdout.readline() == b"asked\n"
        dies.kill()
        dies.wait()
        with bare_server(Recorder(Predict=response(2)), address):
            assert waits.result(60) == [2]


def _listens(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


# Several servers


def test_requests_are_spread_evenly_over_several_servers(connect):
    recorders = [Recorder(Predict=response(number)) for number in range(3)]
    with ExitStack() as stack:
        addresses = [stack.enter_context(bare_server(recorder)) for recorder in recorders]
        client = connect(addresses, timeout=10)
        while not all(recorder.received for recorder in recorders):  # Until all are connected.
            ask(client)
        before = [len(recorder.received) for recorder in recorders]
        for _ in range(30):
            ask(client)
        after = [len(recorder.received) for recorder in recorders]
    assert [end - start for start, end in zip(before, after, strict=True)] == [10, 10, 10]


def test_a_server_that_is_down_is_left_out(connect):
    recorder = Recorder(Predict=response(1))
    with bare_server(recorder) as address:
        client = connect(f"127.0.0.1:{free_port()},{address}", timeout=10)
        assert [ask(client) for _ in range(10)] == [[1]] * 10
    assert recorder.counts() == {"Predict": 10}


def test_when_one_of_two_servers_dies_the_other_takes_over(connect):
    second = Recorder(Predict=response(2))
    with bare_server(second) as stays:
        with bare_server(Recorder(Predict=response(1))) as dies:
            client = connect([dies, stays], timeout=10)
            while {value for [value] in [ask(client) for _ in range(4)]} != {1, 2}:
                pass
        assert [ask(client) for _ in range(10)] == [[2]] * 10


def test_labels_are_shared_out_by_weight_and_key(connect):
    recorder = Recorder(Predict=response(1))
    with bare_server(recorder) as address:
        client = connect(address, timeout=10, labels={"stable": 3, "canary": 1}, seed=1)
        for _ in range(2):
            for user in range(20):
                ask(client, key=f"user {user}")
        ask(client, label="old"), ask(client, label=""), ask(client, version=3)
    specs = [request.model_spec for request in recorder.requests("Predict")]
    labels = [spec.version_label for spec in specs]
    assert labels[:20] == labels[20:40]
    assert set(labels[:20]) == {"stable", "canary"}
    assert labels[40:] == ["old", "", ""]
    assert [spec.WhichOneof("version_choice") for spec in specs[40:]] == [
        "version_label",
        None,
        "version",
    ]


# Answers


def test_an_answer_that_is_no_message_is_an_error_like_any_other(connect):
    class Garbage(grpc.GenericRpcHandler):
        def service(self, handler_call_details):
            return grpc.unary_unary_rpc_method_handler(lambda request, context: b"\xff\xff")

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Garbage()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with pytest.raises(ServingError) as raised:
            ask(connect(f"127.0.0.1:{port}", timeout=10))
        assert raised.value.code is grpc.StatusCode.INTERNAL
    finally:
        server.stop(0).wait()


def test_messages_beyond_grpcs_own_limit_pass_in_both_directions(connect):
    def echo(request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        answer = predict_pb2.PredictResponse()
        answer.outputs["y"].CopyFrom(request.inputs["x"])
        return answer

    large = np.arange(1_500_000, dtype=np.float32)  # 6 MB; gRPC's limit is 4 MiB.
    server = Recorder(Predict=echo)
    with bare_server(server) as address:
        answer = connect(address, timeout=20).predict("m", {"x": large})
    assert np.array_equal(answer["y"], large)
