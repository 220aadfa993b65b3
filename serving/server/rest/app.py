"""The REST front: an HTTP server around the REST API.

Source: tensorflow_serving/model_servers/http_server.cc and util/net_http.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import socket
import threading
import zlib
from collections.abc import Awaitable, Callable
from concurrent import futures
from dataclasses import replace
from typing import Any

import grpc
import uvicorn

from serving.errors import ServingError, UserError
from serving.server.core import Core
from serving.server.rest import api as rest_api

log = logging.getLogger(__name__)

_LARGEST_BODY = 2**31 - 1
_KEEP_ALIVE_SECONDS = 60
_UNPACKED_AT_ONCE = 2**20
# Others are "not implemented" for the HTTP library of the original.
_METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"})
# A request may name the host before the path.
_HOST = re.compile(r"\Ahttps?://[^/]*(?=/)", re.IGNORECASE)
_PLAIN = {"Content-Type": "text/plain"}

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class RestServer:
    """A server that answers in threads of its own.

    Attributes:
        port: The TCP port it listens to.
    """

    port: int

    def __init__(self, app: _App, listener: socket.socket) -> None:
        self.port = listener.getsockname()[1]
        self._app = app
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level=logging.ERROR,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
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
        """Takes no more requests and returns when those in flight have ended.

        Args:
            grace_seconds: After this time they are given up.
        """
        self._server.config.timeout_graceful_shutdown = math.ceil(grace_seconds)
        self._server.should_exit = True
        self._thread.join()
        self._app.pool.shutdown(wait=False, cancel_futures=True)


def serve(
    core: Core,
    port: int,
    *,
    threads: int,
    timeout_seconds: float | None = 30.0,
    cors: bool = False,
    prometheus: tuple[str, Callable[[], str]] | None = None,
    reuse_port: bool = False,
) -> RestServer:
    """Binds the port and starts to answer.

    Args:
        core: What answers.
        port: TCP port on all interfaces; 0 takes a free one.
        threads: Requests worked on at the same time.
        timeout_seconds: Time that a model may take for a request; None for any.
        cors: Whether pages of other origins may ask, as browsers understand it.
        prometheus: The path of a page for monitoring, and what returns its text.
        reuse_port: Whether other processes may listen to the same port.

    Raises:
        UserError: The port is taken or not allowed.
    """
    # With the protocol named, asyncio sends answers at once and does not wait for more to send.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind(("0.0.0.0", port))
        listener.listen(2048)
    except (OSError, OverflowError) as error:
        listener.close()
        raise UserError(
            f"port {port} cannot be bound: it is in use or not allowed; "
            "choose another --rest_api_port"
        ) from error

    def answer(request: rest_api.Request) -> rest_api.Response:
        return rest_api.answer(core, request, timeout_seconds=timeout_seconds, cors=cors)

    return RestServer(_App(answer, threads, prometheus), listener)


class _App:
    """The ASGI application."""

    def __init__(
        self,
        answer: Callable[[rest_api.Request], rest_api.Response],
        threads: int,
        prometheus: tuple[str, Callable[[], str]] | None,
    ) -> None:
        self.pool = futures.ThreadPoolExecutor(threads, thread_name_prefix="rest")
        self._answer = answer
        self._prometheus = prometheus

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            body = await _body(receive)
        except ConnectionError:
            return
        response = await self._response(scope, body) if body is not None else _TOO_LARGE
        headers = {**response.headers, "Content-Length": str(len(response.body))}
        await send(
            {
                "type": "http.response.start",
                "status": response.status,
                "headers": [(name.encode(), text.encode()) for name, text in headers.items()],
            }
        )
        await send({"type": "http.response.body", "body": response.body})

    async def _response(self, scope: dict[str, Any], body: bytes) -> rest_api.Response:
        path = _HOST.sub("", scope["raw_path"].decode("latin-1"), count=1)
        query = scope["query_string"].decode("latin-1")
        whole = f"{path}?{query}" if query else path
        if scope["method"] not in _METHODS:
            return rest_api.Response(501, b"Not Implemented\n", _PLAIN)
        loop = asyncio.get_running_loop()
        if self._prometheus and path == self._prometheus[0]:
            return await loop.run_in_executor(self.pool, self._page, whole)
        if not rest_api.is_api(whole):
            return rest_api.Response(404, b"Not Found\n", _PLAIN)
        headers = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in scope["headers"]
        }
        peer = ":".join(map(str, scope["client"] or ()))
        request = rest_api.Request(scope["method"], whole, headers, body, peer)
        return await loop.run_in_executor(self.pool, self._work, request)

    def _work(self, request: rest_api.Request) -> rest_api.Response:
        if "gzip" in request.headers.get("content-encoding", ""):
            try:
                body = _unpacked(request.body)
            except ServingError as error:
                return rest_api.error_response(error)
            if body is None:
                return _TOO_LARGE
            request = replace(request, body=body)
        return self._answer(request)

    def _page(self, path: str) -> rest_api.Response:
        """Returns the page for monitoring."""
        assert self._prometheus
        expected, page = self._prometheus
        if path != expected:
            text = f"Unexpected path: {path}. Should be {expected}"
            return rest_api.Response(400, text.encode(), _PLAIN)
        try:
            return rest_api.Response(200, page().encode(), _PLAIN)
        except Exception:
            log.exception("the page for monitoring failed")
            return rest_api.Response(500, b"Internal Server Error\n", _PLAIN)


_TOO_LARGE = rest_api.Response(
    413,
    f'{{\n    "error": "The request is larger than {_LARGEST_BODY} bytes"\n}}'.encode(),
    {"Content-Type": "application/json", "Connection": "close"},
)


async def _body(receive: Receive) -> bytes | None:
    """Returns the body of a request, or None if it is too large.

    Raises:
        ConnectionError: The client has left before its end.
    """
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > _LARGEST_BODY:
            return None
        if not message.get("more_body"):
            break
    return b"".join(chunks)


def _unpacked(packed: bytes) -> bytes | None:
    """Returns what gzip packed, or None if it is too large.

    Raises:
        ServingError: INVALID_ARGUMENT if it is no whole gzip file.
    """
    pieces, size = [], 0
    rest = packed
    try:
        while rest:
            unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
            while not unpacker.eof:
                pieces.append(unpacker.decompress(rest, _UNPACKED_AT_ONCE))
                size += len(pieces[-1])
                if size > _LARGEST_BODY:
                    return None
                rest = unpacker.unconsumed_tail
                if not rest and not pieces[-1] and not unpacker.eof:
                    raise zlib.error("the file ends early")
            rest = unpacker.unused_data
    except zlib.error as error:
        raise ServingError(
            grpc.StatusCode.INVALID_ARGUMENT, "Failed to uncompress the gzipped body"
        ) from error
    return b"".join(pieces)
