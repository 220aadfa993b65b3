"""Addresses, retries, balancing and encryption, for both clients."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, predict_pb2

from serving import connection
from serving.async_client import AsyncClient
from serving.client import TLS, Client
from serving.errors import ServingError, UserError
from tests.serving.certificates import Pair, certified
from tests.serving.recording import Recorder, bare_server

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
INVALID = grpc.StatusCode.INVALID_ARGUMENT


class Awaited:
    """An AsyncClient whose methods are waited for, so that tests of Client can use it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = self._runner.run(self._create(*arguments, **options))

    async def _create(self, *arguments: Any, **options: Any) -> AsyncClient:
        return AsyncClient(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return lambda *arguments, **options: self._runner.run(method(*arguments, **options))

    def __enter__(self) -> Awaited:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


@pytest.fixture(params=[Client, Awaited], ids=["Client", "AsyncClient"])
def connect(request) -> Iterator[Any]:
    """Makes clients of either kind and closes them."""
    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(
            request.param(*arguments, **options)
        )


def response(*values: float) -> predict_pb2.PredictResponse:
    message = predict_pb2.PredictResponse()
    message.outputs["y"].CopyFrom(tf.make_tensor_proto(values, tf.float32))
    return message


def after_failures(count: int, code: grpc.StatusCode) -> Any:
    """Answers `count` times with the code, then well."""
    left = iter([(code, "not now")] * count)
    return lambda _: next(left, response(1))


def ask(client: Any, **options: Any) -> list[float]:
    return client.predict("m", {"x": np.array([1], np.float32)}, **options)["y"].tolist()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


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
    assert connection.target(address) == target


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
        connection.target(address)
    assert str(raised.value) == sentence


def test_a_host_that_nobody_knows_is_out_of_reach():
    with pytest.raises(ServingError, match=r"cannot connect to nobody.invalid:1") as raised:
        connection.target("127.0.0.1:1,nobody.invalid:1")
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


# Encryption


@pytest.fixture(scope="module")
def authority() -> Pair:
    return certified("authority")


def encrypted(server: Pair, clients: Pair | None = None) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(server.key, server.certificate)],
        root_certificates=clients.certificate if clients else None,
        require_client_auth=clients is not None,
    )


def test_an_encrypted_server_is_trusted_by_its_authority(connect, authority, tmp_path):
    path = tmp_path / "authority.pem"
    path.write_bytes(authority.certificate)
    credentials = encrypted(certified("127.0.0.1", authority))
    with bare_server(Recorder(Predict=response(5)), credentials=credentials) as address:
        for root in (path, str(path), authority.certificate):
            assert ask(connect(address, timeout=10, tls=TLS(root_certificates=root))) == [5]


def test_a_server_that_is_not_trusted_gets_no_request(connect, authority):
    recorder = Recorder(Predict=response(5))
    stranger = certified("stranger")
    credentials = encrypted(certified("127.0.0.1", authority))
    with bare_server(recorder, credentials=credentials) as address:
        for tls in (TLS(root_certificates=stranger.certificate), TLS(), None):
            with pytest.raises(ServingError) as raised:
                ask(connect(address, timeout=10, tls=tls, attempts=1))
            assert raised.value.code is UNAVAILABLE
    assert recorder.received == []


def test_the_name_in_the_certificate_may_be_another(connect, authority):
    recorder = Recorder(Predict=response(5))
    credentials = encrypted(certified("models.internal", authority))
    trust = {"root_certificates": authority.certificate}
    with bare_server(recorder, credentials=credentials) as address:
        with pytest.raises(ServingError):
            ask(connect(address, timeout=10, attempts=1, tls=TLS(**trust)))
        tls = TLS(authority.certificate, server_name="models.internal")
        assert ask(connect(address, timeout=10, tls=tls)) == [5]
        assert ask(connect([address, address], timeout=10, tls=tls)) == [5]


def test_a_server_may_ask_for_the_clients_certificate(connect, authority, tmp_path):
    credentials = encrypted(certified("127.0.0.1", authority), clients=authority)
    client = certified("client", authority)
    key = tmp_path / "key.pem"
    key.write_bytes(client.key)
    with bare_server(Recorder(Predict=response(5)), credentials=credentials) as address:
        known = TLS(authority.certificate, client.certificate, key)
        assert ask(connect(address, timeout=10, tls=known)) == [5]
        with pytest.raises(ServingError) as raised:
            ask(connect(address, timeout=10, attempts=1, tls=TLS(authority.certificate)))
        assert raised.value.code is UNAVAILABLE


@pytest.mark.parametrize(
    ("tls", "address", "sentence"),
    [
        (
            TLS(certificate=b"pem"),
            "a:1",
            "a client's certificate and its key go together; one is missing",
        ),
        (TLS(key=b"pem"), "a:1", "a client's certificate and its key go together; one is missing"),
        (TLS(Path("gone.pem")), "a:1", "cannot read gone.pem: No such file or directory"),
        (
            TLS(),
            "127.0.0.1:1,127.0.0.1:2",
            "several addresses with TLS need the server_name of their certificate",
        ),
    ],
)
def test_encryption_that_cannot_work_is_refused_in_a_sentence(connect, tls, address, sentence):
    with pytest.raises(UserError) as raised:
        connect(address, tls=tls)
    assert str(raised.value) == sentence


# Sizes


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


def test_waiting_for_a_label_asks_until_it_is_assigned(connect):
    from tensorflow_serving.apis import get_model_metadata_pb2

    assigned = get_model_metadata_pb2.GetModelMetadataResponse()
    assigned.model_spec.version.value = 4
    text = "Unrecognized servable version label: canary"
    answers = iter([(INVALID, text), (grpc.StatusCode.NOT_FOUND, "not found"), assigned, assigned])
    recorder = Recorder(GetModelMetadata=lambda _: next(answers))
    with bare_server(recorder) as address:
        client = connect(address, timeout=10, labels={"canary": 1, "stable": 1})
        assert client.wait_until_ready("m", timeout=10) == 4
    labels = [r.model_spec.version_label for r in recorder.requests("GetModelMetadata")]
    assert labels == ["canary", "canary", "canary", "stable"]


def test_waiting_for_a_label_ends_with_what_waiting_does_not_change(connect):
    recorder = Recorder(GetModelMetadata=(INVALID, "ModelSpec has no name specified."))
    with bare_server(recorder) as address, pytest.raises(ServingError, match="has no name"):
        connect(address, label="stable").wait_until_ready("", timeout=10)
    assert recorder.counts() == {"GetModelMetadata": 1}


def test_waiting_for_a_version_takes_its_status(connect):
    starts = get_model_status_pb2.GetModelStatusResponse()
    starts.model_version_status.add(version=3, state=20)
    stands = get_model_status_pb2.GetModelStatusResponse()
    stands.model_version_status.add(version=3, state=30)
    answers = iter([(UNAVAILABLE, "starting"), starts, stands])
    recorder = Recorder(GetModelStatus=lambda _: next(answers))
    with bare_server(recorder) as address:
        assert connect(address).wait_until_ready("m", version=3, timeout=10) == 3
    assert recorder.counts() == {"GetModelStatus": 3}


def test_health_is_what_the_server_says_of_itself(connect):
    from grpc_health.v1 import health_pb2

    unknown = (grpc.StatusCode.NOT_FOUND, "unknown service")

    def check(request: health_pb2.HealthCheckRequest) -> Any:
        answers = {"": "SERVING", "ModelService": "NOT_SERVING"}
        status = answers.get(request.service)
        return health_pb2.HealthCheckResponse(status=status) if status else unknown

    with bare_server(Recorder(Check=check)) as address:
        client = connect(address, timeout=10)
        assert client.healthy() is True
        assert client.healthy("ModelService") is False
        with pytest.raises(ServingError, match="unknown service"):
            client.healthy("Other")
    with bare_server(Recorder()) as address:
        with pytest.raises(ServingError) as raised:
            connect(address, timeout=10).healthy()
        assert raised.value.code is grpc.StatusCode.UNIMPLEMENTED
    assert connect(f"127.0.0.1:{free_port()}").healthy() is False
