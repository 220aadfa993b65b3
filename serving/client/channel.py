"""gRPC channels: addresses, TLS, retries, load balancing.

Retries and round robin are gRPC's own, by a service config
(https://github.com/grpc/grpc/blob/master/doc/service_config.md).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from serving.errors import ServingError, UserError

_UNLIMITED = -1
_LARGEST = 2**31 - 1
_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:", "xds:", "vsock:")
# Methods that are retried. GetModelStatus is not: its answer is the state at this moment.
_RETRIED = [
    {"service": "tensorflow.serving.PredictionService"},
    {"service": "tensorflow.serving.ModelService", "method": "HandleReloadConfigRequest"},
]


@dataclass(frozen=True)
class TLS:
    """Encryption and certificates. Each part is the path of a PEM file, or its bytes.

    Attributes:
        root_certificates: Trusted certificate authorities; None takes gRPC's default.
        certificate: The client's certificate chain, where the server asks for one.
        key: The private key of that certificate.
        server_name: Name in the server's certificate, where it is not the address's own.
    """

    root_certificates: str | Path | bytes | None = None
    certificate: str | Path | bytes | None = None
    key: str | Path | bytes | None = field(default=None, repr=False)
    server_name: str = ""

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files.

        Raises:
            UserError: A file cannot be read, or a certificate comes without a key or a key alone.
        """
        if (self.certificate is None) != (self.key is None):
            raise UserError("a client's certificate and its key go together; one is missing")
        return grpc.ssl_channel_credentials(
            _read(self.root_certificates), _read(self.key), _read(self.certificate)
        )


def target(address: str | Sequence[str], tls: TLS | None = None) -> str:
    """Returns the gRPC target of one address or of several.

    Args:
        address: "host:port", "unix:/path" or another gRPC target; several as a sequence, or
            separated by commas. The host names of several are resolved here, once.
        tls: Encryption of the connection.

    Raises:
        UserError: No address, or several that are not all HOST:PORT, or that need a `server_name`.
        ServingError: UNAVAILABLE, a host name of several cannot be resolved.
    """
    addresses = [address] if isinstance(address, str) else list(address)
    if len(addresses) == 1 and not addresses[0].startswith(_SCHEMES):
        addresses = addresses[0].split(",")
    if not addresses:
        raise UserError("there is no address")
    if not all(addresses):
        raise UserError("an address is empty; it must be HOST:PORT or unix:/PATH")
    if len(addresses) == 1:
        return addresses[0]
    if tls is not None and not tls.server_name:
        raise UserError("several addresses with TLS need the server_name of their certificate")
    six = any(address.startswith("[") for address in addresses)
    family = socket.AF_INET6 if six else socket.AF_INET
    return ("ipv6:" if six else "ipv4:") + ",".join(
        found for address in addresses for found in _resolved(address, family)
    )


def options(attempts: int, tls: TLS | None = None) -> list[tuple[str, str | int]]:
    """Returns gRPC's channel options.

    Args:
        attempts: How often a call may be sent while the answer is UNAVAILABLE, from 1 to 5.
        tls: Encryption of the connection.

    Raises:
        UserError: Another number of attempts, which gRPC would silently limit to 5.
    """
    if attempts not in range(1, 6):
        raise UserError(f"attempts must be from 1 to 5, not {attempts}")
    config: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if attempts > 1:
        policy = {
            "maxAttempts": attempts,
            "initialBackoff": "0.2s",
            "backoffMultiplier": 2,
            "maxBackoff": "2s",
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        config["methodConfig"] = [{"name": _RETRIED, "retryPolicy": policy}]
    chosen: list[tuple[str, str | int]] = [
        ("grpc.max_receive_message_length", _UNLIMITED),
        ("grpc.max_send_message_length", _UNLIMITED),
        ("grpc.service_config", json.dumps(config)),
        # Requests larger than this buffer, 256 KiB by default, are not retried.
        ("grpc.per_rpc_retry_buffer_size", _LARGEST),
        # Reconnects to a restarted server soon; by default after up to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
    if tls is not None and tls.server_name:
        chosen.append(("grpc.ssl_target_name_override", tls.server_name))
    return chosen


def _resolved(address: str, family: socket.AddressFamily) -> list[str]:
    host, separator, port = address.rpartition(":")
    if not separator or not port.isdigit() or "/" in host or host.startswith(_SCHEMES):
        raise UserError(f"several addresses must each be HOST:PORT, not {address!r}")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), family, socket.SOCK_STREAM)
    except (OSError, OverflowError) as error:
        raise ServingError(
            grpc.StatusCode.UNAVAILABLE, f"cannot connect to {address}: {error}"
        ) from error
    hosts = dict.fromkeys(str(entry[4][0]) for entry in found)
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts]


def _read(part: str | Path | bytes | None) -> bytes | None:
    if part is None or isinstance(part, bytes):
        return part
    try:
        return Path(part).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {part}: {error.strerror}") from error
