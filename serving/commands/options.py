"""Options that commands share: the repository, the server's address, encryption."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from serving.client.channel import TLS
from serving.client.traffic import STABLE
from serving.engines import record
from serving.rollout.servers import DEFAULT_ADDRESS

DEFAULT_REPOSITORY = Path("models")


def server_address(options: argparse.Namespace) -> str:
    """Returns the server's address: `--address`, else that of `up`'s server, else the default one.

    It is kept in the options, so that a later error message names the same address even if the
    server has ended.
    """
    options.address = options.address or record.address(options.repository) or DEFAULT_ADDRESS
    return str(options.address)


def positive_integer(text: str) -> int:
    """Parses an integer of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {number}")
    return number


def positive_number(text: str) -> float:
    """Parses a number greater than 0."""
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"must be more than 0, not {text}")
    return number


def add_model_command(
    commands: Any,
    name: str,
    function: Callable[[argparse.Namespace], int | None],
    text: str,
    model: str | None = None,
) -> argparse.ArgumentParser:
    """Adds a command about a model of the repository; `model` is the argument's `nargs`."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text)
    parser.set_defaults(command=function, parser=parser)
    parser.add_argument("model", nargs=model, help="registered name, which is also the served name")
    add_repository(parser)
    parser.add_argument(
        "--address",
        help="servers: HOST:PORT, several by commas (default: the one that `up` has started; else "
        "localhost:8500, where a rollout changes only a server of this repository)",
    )
    add_encryption(parser)
    return parser


def add_repository(parser: argparse.ArgumentParser) -> None:
    """Adds `--repository`."""
    parser.add_argument(
        "--repository",
        type=Path,
        default=DEFAULT_REPOSITORY,
        help=f"(default: {DEFAULT_REPOSITORY})",
    )


def add_version(parser: argparse.ArgumentParser) -> None:
    """Adds `--version` and `--label`, of which one may be given."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--version", type=int, help=f"version of the repository (default: label {STABLE})"
    )
    which.add_argument("--label", help="version label of the repository, as canary")


def add_allowed_ops(parser: argparse.ArgumentParser) -> None:
    """Adds `--allow_ops`."""
    parser.add_argument(
        "--allow_ops",
        type=lambda names: names.split(","),
        default=[],
        metavar="OP,OP",
        help="accept ops that reach files, Python or the network, as ReadFile,PrintV2",
    )


def add_encryption(parser: argparse.ArgumentParser) -> None:
    """Adds the options that `server_tls` reads."""
    encryption = parser.add_argument_group("encryption, if one of these is given")
    encryption.add_argument(
        "--root_certificates", metavar="FILE", help="trusted certificate authorities, PEM"
    )
    encryption.add_argument("--certificate", metavar="FILE", help="the client's certificate, PEM")
    encryption.add_argument("--key", metavar="FILE", help="key of the client's certificate, PEM")
    encryption.add_argument(
        "--server_name", default="", help="name in the server's certificate, if it is another"
    )


def server_tls(options: argparse.Namespace) -> TLS | None:
    """Returns the chosen encryption; None for none."""
    chosen = TLS(options.root_certificates, options.certificate, options.key, options.server_name)
    return None if chosen == TLS() else chosen
