"""The connections of the REST API: where they are accepted, and whose they are.

Counterpart: tensorflow_serving/util/net_http/server/internal/evhttp_server.cc.
"""

from __future__ import annotations

import ipaddress
import socket

from serving.errors import UserError

ALL_INTERFACES = "0.0.0.0"


def listening(port: int, *, host: str = ALL_INTERFACES, reuse_port: bool = False) -> socket.socket:
    """Returns a socket that listens on a port.

    Args:
        port: TCP port; 0 for any free one.
        host: IP address of the interface; 0.0.0.0 for all, of IPv6 and IPv4 where there are both.
        reuse_port: Whether other processes may listen on the same port.

    Raises:
        UserError: The port is in use or not allowed.
    """
    try:
        if host != ALL_INTERFACES:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return _listener(family, host, port, reuse_port)
        try:
            return _listener(socket.AF_INET6, "::", port, reuse_port)
        except OSError:  # There is no IPv6, perhaps.
            return _listener(socket.AF_INET, "0.0.0.0", port, reuse_port)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"port {port} cannot be bound: it is in use or not allowed; "
            "choose another --rest_api_port"
        ) from error


def _listener(
    family: socket.AddressFamily, host: str, port: int, reuse_port: bool
) -> socket.socket:
    """Returns a socket that listens; one of IPv6 takes connections of IPv4 as well."""
    # With an explicit protocol, asyncio sets TCP_NODELAY and sends answers at once.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((host, port))
        listener.listen(2048)
    except BaseException:
        listener.close()
        raise
    return listener


def peer_of(client: tuple[str, int] | None) -> str:
    """Returns the address of a caller as text; that of IPv4 also where it came through IPv6."""
    if client is None:
        return ""
    host, port = client
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return f"{mapped}:{port}" if mapped else f"[{host}]:{port}"
    return f"{host}:{port}"
