"""Where REST is accepted, and how bytes become requests."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl

import pytest

from serving.errors import UserError
from serving.server import encryption
from serving.server.config_files import SSLConfig
from serving.server.rest.connections import listening, peer_of
from tests.serving.certificates import Pair, certified
from tests.serving.server.rest.test_app import BODY, PATH, raw, running

ANSWER = b'{"predictions":[2.5]}'


def test_both_families_of_addresses_are_listened_on():
    with contextlib.closing(listening(0)) as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port), timeout=20):
                accepted, _ = listener.accept()
                accepted.close()


def test_without_ipv6_there_is_ipv4(monkeypatch):
    class OldSocket(socket.socket):
        def __init__(self, family: int = -1, *rest: int, **options: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(97, "Address family not supported by protocol")
            super().__init__(family, *rest, **options)

    monkeypatch.setattr(socket, "socket", OldSocket)
    with contextlib.closing(listening(0)) as listener:
        assert listener.family == socket.AF_INET
        socket.create_connection(listener.getsockname(), timeout=20).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_one_interface_is_listened_on_alone(host):
    with contextlib.closing(listening(0, host=host)) as listener:
        address = listener.getsockname()
        assert address[0] == host
        socket.create_connection(address[:2], timeout=20).close()
        other = "::1" if host == "127.0.0.1" else "127.0.0.1"
        for elsewhere in ("127.0.0.2", other):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((elsewhere, address[1]), timeout=20)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_of_either_family_is_in_use(host):
    with socket.create_server((host, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} cannot be bound"):
            listening(port)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("host", ["", "Host: h\r\n", "HOST: \r\n"])
def test_a_request_needs_no_host(version, host):
    head = f"POST {PATH} HTTP/{version}\r\n{host}Content-Length: 20\r\nConnection: "
    again = (head + "keep-alive\r\n\r\n").encode() + BODY
    last = (head + "close\r\n\r\n").encode() + BODY
    with running() as port:
        assert raw(port, last).count(ANSWER) == 1
        if version == "1.1":
            assert raw(port, again + last).count(ANSWER) == 2


def test_chunks_need_no_host_either():
    head = f"POST {PATH} HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    with running() as port:
        answered = raw(
            port, head.encode() + b"14\r\n" + BODY + b"\r\n0\r\nTrailer: HTTP/1.1\r\n\r\n"
        )
    assert ANSWER in answered


@pytest.mark.parametrize(
    ("client", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::ffff:10.0.0.1", 80), "10.0.0.1:80"),
        (("::1", 80), "[::1]:80"),
        (("fe80::1%eth0", 80), "[fe80::1%eth0]:80"),
        (None, ""),
    ],
)
def test_a_caller_has_one_address(client, text):
    assert peer_of(client) == text


def trusting(authority: Pair) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.certificate.decode())


def asked(port: int, context: ssl.SSLContext) -> bytes:
    connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=context)
    with contextlib.closing(connection):
        for _ in range(2):
            connection.request("POST", PATH, BODY)
            answer = connection.getresponse().read()
    return answer


def test_an_encrypted_server_answers_those_who_trust_its_authority():
    authority = certified("authority")
    server = certified("localhost", authority)
    tls = encryption.context(SSLConfig(server_key=server.key, server_cert=server.certificate))
    with running(tls=tls) as port:
        assert asked(port, trusting(authority)) == ANSWER
        with pytest.raises(ssl.SSLCertVerificationError):
            asked(port, trusting(certified("stranger")))
        plain = f"POST {PATH} HTTP/1.1\r\nContent-Length: 20\r\n\r\n".encode() + BODY
        assert ANSWER not in raw(port, plain)


def test_clients_without_a_certificate_of_the_authority_get_no_answer(tmp_path):
    authority = certified("authority")
    server, client = certified("localhost", authority), certified("client", authority)
    config = SSLConfig(
        server_key=server.key,
        server_cert=server.certificate,
        custom_ca=authority.certificate,
        client_verify=True,
    )
    with running(tls=encryption.context(config)) as port:
        for pair in (None, certified("client", certified("authority")), client):
            context = trusting(authority)
            if pair:
                (tmp_path / "client.pem").write_bytes(pair.certificate + pair.key)
                context.load_cert_chain(tmp_path / "client.pem")
            if pair == client:
                assert asked(port, context) == ANSWER
                break
            # With TLS 1.3, a client learns of its refusal when it reads.
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
                asked(port, context)
