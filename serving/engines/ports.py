"""TCP ports: find free ones, check one."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from serving.errors import UserError


def free_port() -> int:
    """Returns a TCP port of 127.0.0.1 that nothing listens on."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Returns different TCP ports of 127.0.0.1 that nothing listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def check_free(port: int) -> None:
    """Raises an error unless a server may listen on the port of all interfaces.

    Raises:
        UserError: It is no port, in use, or reserved.
    """
    if not 0 < port < 2**16:
        raise UserError(f"a port is a number from 1 to {2**16 - 1}, not {port}")
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("0.0.0.0", port))
    except OSError as error:
        raise UserError(
            f"port {port} cannot be bound: it is in use or not allowed; choose another one"
        ) from error
