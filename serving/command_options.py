"""Options that commands share: how a connection is encrypted."""

from __future__ import annotations

import argparse

from serving.connection import TLS


def add_encryption(parser: argparse.ArgumentParser) -> None:
    """Adds the options that `tls` reads."""
    encryption = parser.add_argument_group("encryption, if one of these is given")
    encryption.add_argument("--root_certificates", metavar="FILE", help="whom to trust, PEM")
    encryption.add_argument("--certificate", metavar="FILE", help="the client's own, PEM")
    encryption.add_argument("--key", metavar="FILE", help="of that certificate, PEM")
    encryption.add_argument(
        "--server_name", default="", help="name in the server's certificate, if it is another"
    )


def tls(options: argparse.Namespace) -> TLS | None:
    """Returns the encryption that was chosen; None for none."""
    chosen = TLS(options.root_certificates, options.certificate, options.key, options.server_name)
    return None if chosen == TLS() else chosen
