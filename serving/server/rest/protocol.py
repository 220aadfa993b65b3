"""HTTP as strangers speak it: how much a client may send, how slowly, on how many connections.

uvicorn's protocol with httptools' parser sets no such limits. Counterpart: evhttp's, in
tensorflow_serving/util/net_http.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import sys
import termios
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.server.rest import json_writer


@dataclass(frozen=True)
class Limits:
    """What a client may ask for.

    Attributes:
        connections: Number of open connections of all clients; others are answered with 503.
        head_bytes: Length of a request's path and headers; beyond it: 431.
        body_bytes: Length of a request's body, packed or not; beyond it: 413.
        seconds: Time in which a request must arrive, else 408, and an answer be read, unless…
        bytes_per_second: … at least so much of it does, in each such time.
    """

    connections: int = 1000
    head_bytes: int = 2**16
    body_bytes: int = 2**31 - 1
    seconds: float = 60.0
    bytes_per_second: int = 2**13

    def too_large(self) -> str:
        """Returns what is said about a body that is."""
        return f"The request is larger than {self.body_bytes} bytes"


class LimitedProtocol(HttpToolsProtocol):
    """A connection with limits.

    Args:
        limits: The limits.
        options: uvicorn's.
    """

    def __init__(self, *, limits: Limits, **options: Any) -> None:
        super().__init__(**options)
        self._limits = limits
        self._refusal: tuple[int, str] | None = None
        self._head = self._body = 0
        # Bytes since the parser came to the end of a head or a piece of a body.
        self._unparsed = 0
        self._parsed = False
        # Whether all of a request is there, else what has come of it since the timer was set.
        self._whole = False
        self._received = 0
        self._arrival: asyncio.TimerHandle | None = None
        # Whole requests without an answer; what of the last answer was left when its timer was set.
        self._unanswered = 0
        self._unsent = 0
        self._departure: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._refuse(503, "The server has too many connections")
        else:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in filter(None, (self._arrival, self._departure)):
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():  # TLS hands over what it has decrypted.
            return
        self._parsed = self._whole = False
        self._received += len(data)
        super().data_received(data)
        self._unparsed = 0 if self._parsed else self._unparsed + len(data)
        if self.transport.is_closing() or self._whole:
            return
        if self._unparsed > self._limits.head_bytes:
            self._refuse(431, self._long_head())
        elif self._arrival is None:
            self._expect()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = self._body = 0
        self._whole = False

    def on_url(self, url: bytes) -> None:
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value))  # Those after the last chunk, too.
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._parsed = True
        lengths = [value for name, value in self.headers if name == b"content-length"]
        if any(int(length) > self._limits.body_bytes for length in lengths):
            raise self._refused(413, self._limits.too_large())
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._parsed = True
        self._body += len(body)
        if self._body > self._limits.body_bytes:
            raise self._refused(413, self._limits.too_large())
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._parsed = self._whole = True
        self._unanswered += 1
        if self._arrival:
            self._arrival.cancel()
            self._arrival = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unanswered -= 1
        if self._departure:
            self._departure.cancel()
        self._send()

    def send_400_response(self, msg: str) -> None:
        if self._refusal:
            self._refuse(*self._refusal)
        else:
            super().send_400_response(msg)

    def _count_head(self, length: int) -> None:
        self._head += length
        if self._head > self._limits.head_bytes:
            raise self._refused(431, self._long_head())

    def _long_head(self) -> str:
        return f"The path and the headers are longer than {self._limits.head_bytes} bytes"

    def _refused(self, status: int, text: str) -> Exception:
        """Returns what ends the parser, after which uvicorn calls `send_400_response`."""
        self._refusal = (status, text)
        return ValueError(text)

    def _refuse(self, status: int, text: str) -> None:
        """Answers and ends the connection."""
        body = json_writer.written({"error": text})
        head = (
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()

    def _expect(self) -> None:
        """Gives a request its time from now on."""
        self._received = 0
        self._arrival = self.loop.call_later(self._limits.seconds, self._check_arrival)

    def _check_arrival(self) -> None:
        seconds, pace = self._limits.seconds, self._limits.bytes_per_second
        # It may have to wait for the answer to the request before it.
        if self._received >= seconds * pace or self.flow.read_paused or self._unanswered > 0:
            self._expect()
        elif self._received:
            self._refuse(408, f"The request came slower than {pace} bytes/s for {seconds:g} s")
        else:
            self.transport.close()

    def _send(self) -> None:
        """Gives an answer that is not sent yet its time from now on."""
        self._departure = None
        if self.transport.get_write_buffer_size():
            self._unsent = self._outstanding()
            self._departure = self.loop.call_later(self._limits.seconds, self._check_departure)

    def _check_departure(self) -> None:
        sent = self._unsent - self._outstanding()
        waiting = self.transport.get_write_buffer_size()
        if waiting and sent < self._limits.seconds * self._limits.bytes_per_second:
            self.transport.abort()
        else:
            self._send()

    def _outstanding(self) -> int:
        """Returns how many bytes wait here and in the kernel, which may hold megabytes."""
        queued = bytes(4)
        with contextlib.suppress(OSError):
            file = self.transport.get_extra_info("socket").fileno()
            queued = fcntl.ioctl(file, termios.TIOCOUTQ, queued)
        return self.transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)
