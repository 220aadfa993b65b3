"""The process of a model server, started here or by an earlier command: wait for it, stop it."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil

from serving.engines import docker
from serving.errors import ServingError, UserError

LOOPBACK = "127.0.0.1"
ALL_INTERFACES = "0.0.0.0"
STOP_SECONDS = 30.0
_PAUSE = 0.1
_LINES = 20
# What TensorFlow Serving and the embedded server log about a model that they cannot load.
_FAILED = re.compile(r"Loading servable\b.*? failed: (.+)")


@dataclass(frozen=True)
class ServerProcess:
    """A model server's process; with Docker, the client's, which lives as long as the container.

    Attributes:
        engine: "docker", "binary" or "embedded".
        process: The process; None if a container has outlived it.
        port: TCP port of gRPC.
        rest_port: TCP port of the REST API; 0 for none.
        log: File with the server's output.
        container: Name of the container; empty without Docker.
        host: IP address that it listens on.
        encrypted: Whether gRPC uses TLS.
        rest_encrypted: Whether REST uses TLS.
    """

    engine: str
    process: psutil.Process | None
    port: int
    rest_port: int
    log: Path
    container: str = ""
    host: str = LOOPBACK
    encrypted: bool = False
    rest_encrypted: bool = False

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """HOST:PORT of gRPC."""
        return f"{self._reached}:{self.port}"

    @property
    def rest_address(self) -> str:
        """HOST:PORT of the REST API; empty if there is none."""
        return f"{self._reached}:{self.rest_port}" if self.rest_port else ""

    @property
    def rest_url(self) -> str:
        """Scheme and address of the REST API; empty if there is none."""
        scheme = "https" if self.rest_encrypted else "http"
        return f"{scheme}://{self.rest_address}" if self.rest_port else ""

    @property
    def _reached(self) -> str:
        """The name by which processes of this machine reach the server."""
        if self.host in (LOOPBACK, ALL_INTERFACES):
            return "localhost"
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def line(self) -> str:
        """Engine, addresses, process and log, as one line of text."""
        rest = f", REST {self.rest_url}" if self.rest_port else ""
        container = f", container {self.container}" if self.container else ""
        process = f", process {self.process.pid}" if self.process else ""
        where = f"gRPC {self.address}{rest}{container}{process}"
        return f"engine {self.engine}, {where}, log {self.log}"

    @property
    def alive(self) -> bool:
        """Whether the server runs; a container may outlive the client that started it."""
        return not _ended(self.process) or docker.is_running(self.container)

    def wait_until_ready(self, timeout: float) -> None:
        """Waits until requests are answered, which is when all configured models are available.

        Args:
            timeout: Seconds to wait.

        Raises:
            ServingError: ABORTED, the server ended. DEADLINE_EXCEEDED, it is not ready in time. The
                message contains the end of the log.
        """
        deadline = time.monotonic() + timeout
        answers_grpc = _answers_tls if self.encrypted else _answers_grpc
        answers_rest = _answers_tls if self.rest_encrypted else _answers_rest
        while not (
            answers_grpc(self.address) and (not self.rest_port or answers_rest(self.rest_address))
        ):
            if not self.alive:
                raise ServingError(
                    grpc.StatusCode.ABORTED,
                    f"the model server ended before it was ready{self.reason()}",
                )
            if time.monotonic() > deadline:
                raise ServingError(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"the model server is not ready after {timeout:g} s{self.reason()}",
                )
            time.sleep(_PAUSE)

    def reason(self) -> str:
        """Returns what the log says about a model that cannot be loaded, or else its last lines.

        It continues a sentence.
        """
        if found := _FAILED.findall(self._log_text()):
            return f": {found[-1]}"
        return f"; its log, {self.log}, ends with:\n{self.log_end()}"

    def log_end(self) -> str:
        """Returns the last lines of the log."""
        return "\n".join(self._log_text().splitlines()[-_LINES:])

    def _log_text(self) -> str:
        try:
            return self.log.read_text(errors="replace")
        except OSError as error:
            return f"({error})"

    def check_own(self) -> None:
        """Raises an error unless this user may stop it.

        Raises:
            UserError: The process is another user's.
        """
        if self.process is None or self.container:
            return
        try:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.process.send_signal(0)
        except psutil.AccessDenied as error:
            raise UserError(
                f"the model server at {self.address}, process {self.process.pid}, belongs to "
                "another user, who alone may stop it"
            ) from error

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Terminates the server and waits; kills it and its children if it does not end in time.

        Args:
            timeout: Seconds until it is killed. The embedded server gives requests in flight 10 s,
                TensorFlow Serving none.
        """
        deadline = time.monotonic() + timeout
        if self.container:
            docker.stop(self.container, timeout)
        if self.process is None:
            return
        if not self.container:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.process.terminate()
        while not _ended(self.process):
            if time.monotonic() > deadline:
                _kill(self.process)
            time.sleep(_PAUSE / 2)


def _ended(process: psutil.Process | None) -> bool:
    if process is None:
        return True
    try:
        if not process.is_running():  # Compares the time of creation: process ids are used again.
            return True
        if process.status() != psutil.STATUS_ZOMBIE:
            return False
    except psutil.ZombieProcess:
        pass  # It ended while it was looked at.
    except psutil.NoSuchProcess:
        return True
    with contextlib.suppress(psutil.TimeoutExpired, psutil.NoSuchProcess):
        process.wait(0)  # Reaps it, if it is a child.
    return True


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        for each in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def _answers_grpc(address: str) -> bool:
    """Returns whether a gRPC server answers; an open port alone may be Docker's own proxy."""
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=1)
        except grpc.FutureTimeoutError:
            return False
    return True


def _answers_tls(address: str) -> bool:
    """Returns whether a server answers with a certificate, signed by anyone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        with socket.create_connection((host, int(port)), timeout=1) as connection:
            context.wrap_socket(connection, server_hostname=host).close()
    except ssl.SSLEOFError:  # Docker's proxy, without a server behind it.
        return False
    except ssl.SSLError:  # It asks for a client's certificate.
        return True
    except OSError:
        return False
    return True


def _answers_rest(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=1)
    try:
        connection.request("GET", "/v1/models")
        connection.getresponse()  # 400 without a model's name, which is an answer.
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
