"""Certificates of an SSLConfig: those that can be used, and sentences for all others."""

from __future__ import annotations

import contextlib
import ssl

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import UserError
from serving.server import encryption
from serving.server.config_files import SSLConfig
from tests.serving.certificates import Pair, certified
from tests.serving.damage import damaged

SERVER = certified("localhost")
OTHER = certified("other")


def locked(key: bytes) -> bytes:
    """Returns a key that needs a password."""
    private: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM, private, serialization.BestAvailableEncryption(b"word")
    )


def config(server: Pair = SERVER, **options: object) -> SSLConfig:
    return SSLConfig(server_key=server.key, server_cert=server.certificate, **options)


@pytest.mark.parametrize("needs", [encryption.credentials, encryption.context])
def test_clients_cannot_be_verified_without_an_authority(needs):
    with pytest.raises(UserError, match="client_verify needs custom_ca, the certificate of"):
        needs(config(client_verify=True))


def test_clients_are_asked_for_certificates_only_if_they_are_to_be_verified():
    authority = OTHER.certificate
    assert encryption.context(config(custom_ca=authority)).verify_mode is ssl.CERT_NONE
    both = encryption.context(config(custom_ca=authority, client_verify=True))
    assert both.verify_mode is ssl.CERT_REQUIRED
    assert len(both.get_ca_certs()) == 1
    assert both.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    "wrong",
    [
        SSLConfig(),
        SSLConfig(server_key="no key", server_cert="no certificate"),
        config(Pair(SERVER.certificate, OTHER.key)),
        config(Pair(SERVER.certificate, locked(SERVER.key))),
        config(custom_ca="no certificate", client_verify=True),
        config(custom_ca="ein Schlüssel", client_verify=True),
    ],
    ids=["empty", "no PEM", "another key", "a password", "no authority", "not ASCII"],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(wrong):
    with pytest.raises(UserError, match=r"^the certificates for REST cannot be used: server_cert"):
        encryption.context(wrong)


@given(
    key=damaged(SERVER.key) | st.just(SERVER.key),
    certificate=damaged(SERVER.certificate) | st.just(SERVER.certificate),
    authority=damaged(OTHER.certificate),
)
def test_damaged_certificates_are_used_or_refused(key, certificate, authority):
    key, certificate, authority = (
        each.decode(errors="replace") for each in (key, certificate, authority)
    )
    given = SSLConfig(
        server_key=key, server_cert=certificate, custom_ca=authority, client_verify=True
    )
    with contextlib.suppress(UserError):
        encryption.context(given)
