"""Certificates for encrypted servers and their clients, valid for an hour."""

from __future__ import annotations

import datetime
import ipaddress
from typing import Any, NamedTuple

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Pair(NamedTuple):
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


def certified(name: str, by: Pair | None = None) -> Pair:
    """Makes a key and its certificate, signed by an authority, or by itself, as one."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    issuer = x509.load_pem_x509_certificate(by.certificate).subject if by else named(name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if by:
        address = name.replace(".", "").isdigit()
        general = x509.IPAddress(ipaddress.ip_address(name)) if address else x509.DNSName(name)
        builder = builder.add_extension(x509.SubjectAlternativeName([general]), critical=False)
    signer: Any = serialization.load_pem_private_key(by.key, None) if by else key
    pem = serialization.Encoding.PEM
    return Pair(
        builder.sign(signer, hashes.SHA256()).public_bytes(pem),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def encrypted(server: Pair, clients: Pair | None = None) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(server.key, server.certificate)],
        root_certificates=clients.certificate if clients else None,
        require_client_auth=clients is not None,
    )
