"""Options that commands share: which server is asked, how its connection is encrypted."""

from __future__ import annotations

import argparse

from serving.client.channel import TLS
from serving.engines import record as server_record
from serving.rollout.servers import DEFAULT_ADDRESS


def address(options: argparse.Namespace) -> str:
    """Returns whom to ask: `--address`, else the server that `up` has started, else the usual one.

    The options keep it, so that a sentence about it names the same one when it has ended.
    """
    options.address = (
        options.address or server_record.address(options.repository) or DEFAULT_ADDRESS
    )
    return str(options.address)


def positive(text: str) -> int:
    """Returns a number of things, of which there must be one."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {number}")
    return number


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
