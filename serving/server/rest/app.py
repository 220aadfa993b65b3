"""The HTTP server of the REST API: an ASGI app and uvicorn.

Counterparts: tensorflow_serving/model_servers/http_server.cc and util/net_http.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import re
import socket
import ssl
import threading
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import grpc
import uvicorn

from serving.errors import ServingError
from serving.server.core import Core
from serving.server.rest import api, json_writer
from serving.server.rest.api import Convert, Request, Response
from serving.server.rest.connections import ALL_INTERFACES, listening, peer_of
from serving.server.rest.protocol import LimitedProtocol, Limits
from serving.server.thread_pool import GrowingPool

log = logging.getLogger(__name__)

_LIMITS = Limits()
_KEEP_ALIVE_SECONDS = 60
# Time that the thread has for its own end after the requests'.
_END_SECONDS = 5
_DECOMPRESSED_AT_ONCE = 2**20
# Other methods are "not implemented" in TensorFlow Serving's HTTP library.
_METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"})
# A request may give the host before the path.
_HOST = re.compile(r"\Ahttps?://[^/]*(?=/)", re.IGNORECASE)
_PLAIN = {"Content-Type": "text/plain"}

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class RestServer:
    """An HTTP server in a thread of its own.

    Attributes:
        port: The TCP port that it listens on.
    """

    port: int

    def __init__(
        self, app: _App, listener: socket.socket, limits: Limits, tls: ssl.SSLContext | None
    ) -> None:
        self.port = listener.getsockname()[1]
        self._app = app
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=functools.partial(LimitedProtocol, limits=limits),  # type: ignore[arg-type]
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level=logging.ERROR,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                ssl_context_factory=(lambda *_: tls) if tls else None,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="rest", daemon=True
        )
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            self._thread.join(0.005)
        if not self._server.started:
            raise RuntimeError("the HTTP server did not start; the log has its reason")

    def stop(self, grace_seconds: float) -> None:
        """Stops accepting requests and waits for those in flight.

        It returns seconds after the grace at the latest, even if an answer that nobody reads keeps
        a connection open.

        Args:
            grace_seconds: Time after which they are canceled.
        """
        self._server.config.timeout_graceful_shutdown = math.ceil(grace_seconds)
        self._server.should_exit = True
        self._thread.join(grace_seconds + _END_SECONDS)
        if self._thread.is_alive():
            log.warning("The HTTP server still has connections; they end with the process")
        self._app.pool.shutdown(wait=False, cancel_futures=True)


def serve(
    core: Core,
    port: int,
    *,
    threads: int,
    timeout_seconds: float | None = 30.0,
    cors: bool = False,
    prometheus: tuple[str, Callable[[], str]] | None = None,
    host: str = ALL_INTERFACES,
    reuse_port: bool = False,
    convert: Convert = api.here,
    tls: ssl.SSLContext | None = None,
    limits: Limits = _LIMITS,
) -> RestServer:
    """Binds the port and starts the server.

    Args:
        core: The server core.
        port: TCP port; 0 for any free one.
        threads: Number of requests processed at the same time.
        timeout_seconds: Maximum time that a model may take for a request; None for any.
        cors: Whether browsers may send requests from pages of other origins.
        prometheus: The path of the metrics page, and a function that returns its text.
        host: IP address of the interface to listen on, by default all.
        reuse_port: Whether other processes may listen on the same port.
        convert: Calls a function that converts a large document.
        tls: Certificate and key; None for no encryption.
        limits: What a client may ask for.

    Raises:
        UserError: The port is in use or not allowed.
    """
    listener = listening(port, host=host, reuse_port=reuse_port)

    def answer(request: Request) -> Response:
        return api.answer(
            core, request, timeout_seconds=timeout_seconds, cors=cors, convert=convert
        )

    return RestServer(_App(answer, threads, prometheus, limits), listener, limits, tls)


class _App:
    """The ASGI application."""

    def __init__(
        self,
        answer: Callable[[Request], Response],
        threads: int,
        prometheus: tuple[str, Callable[[], str]] | None,
        limits: Limits,
    ) -> None:
        self._limits = limits
        self.pool = GrowingPool(threads, name="rest")
        self._answer = answer
        self._prometheus = prometheus

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            body = await _body(receive)
        except ConnectionError:
            return
        try:
            response = await self._response(scope, body)
        except asyncio.CancelledError:  # The server ends, and has waited for long enough.
            response = api.error_response(
                ServingError(grpc.StatusCode.UNAVAILABLE, "The server is stopping")
            )
        headers = {**response.headers, "Content-Length": str(len(response.body))}
        await send(
            {
                "type": "http.response.start",
                "status": response.status,
                "headers": [(name.encode(), text.encode()) for name, text in headers.items()],
            }
        )
        await send({"type": "http.response.body", "body": response.body})

    async def _response(self, scope: dict[str, Any], body: bytes) -> Response:
        path = _HOST.sub("", scope["raw_path"].decode("latin-1"), count=1)
        query = scope["query_string"].decode("latin-1")
        whole = f"{path}?{query}" if query else path
        if scope["method"] not in _METHODS:
            return Response(501, b"Not Implemented\n", _PLAIN)
        loop = asyncio.get_running_loop()
        if self._prometheus and path == self._prometheus[0]:
            return await loop.run_in_executor(self.pool, self._page, whole)
        if not api.is_api(whole):
            return Response(404, b"Not Found\n", _PLAIN)
        headers = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]
        }
        request = Request(scope["method"], whole, headers, body, peer_of(scope["client"]))
        return await loop.run_in_executor(self.pool, self._work, request)

    def _work(self, request: Request) -> Response:
        if "gzip" in request.headers.get("content-encoding", ""):
            try:
                body = _decompressed(request.body, self._limits.body_bytes)
            except ServingError as error:
                return api.error_response(error)
            if body is None:
                return Response(413, json_writer.written({"error": self._limits.too_large()}))
            request = replace(request, body=body)
        return self._answer(request)

    def _page(self, path: str) -> Response:
        """Returns the metrics page."""
        assert self._prometheus
        expected, page = self._prometheus
        if path != expected:
            text = f"Unexpected path: {path}. Should be {expected}"
            return Response(400, text.encode(), _PLAIN)
        try:
            return Response(200, page().encode(), _PLAIN)
        except Exception:
            log.exception("the metrics page failed")
            return Response(500, b"Internal Server Error\n", _PLAIN)


async def _body(receive: Receive) -> bytes:
    """Returns the body of a request.

    Raises:
        ConnectionError: The connection has ended before that.
    """
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


def _decompressed(compressed: bytes, most: int) -> bytes | None:
    """Returns the decompressed content of a gzip file, or None if it has more than `most` bytes.

    Raises:
        ServingError: INVALID_ARGUMENT if it is not a complete gzip file.
    """
    pieces, size = [], 0
    rest = compressed
    try:
        while rest:
            decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS)
            while not decompressor.eof:
                pieces.append(decompressor.decompress(rest, _DECOMPRESSED_AT_ONCE))
                size += len(pieces[-1])
                if size > most:
                    return None
                rest = decompressor.unconsumed_tail
                if not rest and not pieces[-1] and not decompressor.eof:
                    raise zlib.error("the file ends early")
            rest = decompressor.unused_data
    except zlib.error as error:
        raise ServingError(
            grpc.StatusCode.INVALID_ARGUMENT, "Failed to uncompress the gzipped body"
        ) from error
    return b"".join(pieces)
