"""TLS for gRPC and for REST, both from an `SSLConfig`.

Counterpart: the credentials in tensorflow_serving/model_servers/server.cc, which has TLS for gRPC
alone.
"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path
from typing import Any

import grpc

from serving.errors import UserError


def credentials(config: Any) -> grpc.ServerCredentials:
    """Returns what gRPC needs for an `SSLConfig`; with `client_verify`, TLS for both sides.

    Raises:
        UserError: Clients are to be verified, but no authority is given that could do it.
    """
    _check(config)
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def context(config: Any) -> ssl.SSLContext:
    """Returns what an HTTP server needs for an `SSLConfig`; with `client_verify`, as above.

    Raises:
        UserError: As above, or a certificate or key is none, or they do not fit together.
    """
    _check(config)
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    found.set_alpn_protocols(["http/1.1"])
    try:
        with tempfile.TemporaryDirectory() as folder:  # Others cannot read it; OpenSSL needs files.
            certificate, key, authority = (Path(folder, name) for name in ("own", "key", "ca"))
            certificate.write_text(config.server_cert, encoding="utf-8")
            key.write_text(config.server_key, encoding="utf-8")
            authority.write_text(config.custom_ca, encoding="utf-8")
            # Without a password, OpenSSL would ask for that of an encrypted key on the terminal.
            found.load_cert_chain(certificate, key, password="")
            if config.client_verify:
                found.verify_mode = ssl.CERT_REQUIRED
                found.load_verify_locations(authority)
    except ssl.SSLError as error:
        raise UserError(
            "the certificates for REST cannot be used: server_cert, server_key or custom_ca is no "
            "PEM or encrypted, or certificate and key do not fit together"
        ) from error
    return found


def _check(config: Any) -> None:
    if config.client_verify and not config.custom_ca:
        raise UserError(
            "client_verify needs custom_ca, the certificate of the authority that has signed the "
            "clients' certificates"
        )
