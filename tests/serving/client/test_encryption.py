"""TLS, for both clients."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from serving.client import TLS
from serving.errors import ServingError, UserError
from tests.serving.certificates import Pair, certified, encrypted
from tests.serving.clients import ask, response
from tests.serving.recording import Recorder, bare_server

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.fixture(scope="module")
def authority() -> Pair:
    return certified("authority")


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


def test_a_key_is_not_printed():
    assert "secret" not in repr(TLS(certificate=b"certificate", key=b"secret"))
