"""The command `status`: registry, repository, configuration and servers side by side."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from serving.commands.options import add_model_command, server_address, server_tls
from serving.commands.output import print_line, print_table
from serving.engines import record
from serving.errors import UserError

if TYPE_CHECKING:
    from serving.rollout.model_registry import Registered
    from serving.rollout.model_repository import Repository
    from serving.rollout.status import ModelStatus


def add_command(commands: Any) -> None:
    """Adds the command to a parser's `add_subparsers()`."""
    status = add_model_command(
        commands,
        "status",
        _status,
        "show registry, repository and server side by side; exit code 1 where they differ",
        model="?",
    )
    status.add_argument("--timeout", type=float, default=10.0, help="seconds for an answer")


def _status(options: argparse.Namespace) -> int:
    from serving.rollout import models_config, status
    from serving.rollout.model_registry import Registry
    from serving.rollout.model_repository import Repository

    files = Repository(options.repository)
    running = record.read(options.repository)
    listed = {*files.models(), *models_config.names(files.config())}
    names = [options.model] if options.model else sorted(listed)
    if not names and running is None:
        raise UserError(f"{files.path} holds no models; deploy one: python -m serving deploy MODEL")
    if running and options.address in (None, running.address):
        print_line(running.line)
    registered: dict[str, list[Registered] | None] = dict.fromkeys(names)
    lines: list[str] = []
    try:
        if names:
            registry = Registry()
            registered |= {name: registry.versions(name) for name in names}
    except UserError as error:  # The other places are shown all the same.
        lines.append(str(error))
    found: dict[str, list[ModelStatus]] = {}
    for name in names:
        try:
            for address, each in _statuses(options, files, name, registered[name]).items():
                found.setdefault(address, []).append(each)
                lines += status.differences(each, address)
        except UserError as error:  # The other models are shown all the same.
            if options.model:
                raise UserError("; ".join([str(error), *lines])) from error
            lines.append(str(error))
    for address, statuses in found.items():
        if len(found) > 1:
            print_line(f"server {address}")
        print_table(status.table(statuses))
    lines = list(dict.fromkeys(lines))
    for line in lines:
        print_line(line)
    return 1 if lines else 0


def _statuses(
    options: argparse.Namespace, files: Repository, name: str, registered: list[Registered] | None
) -> dict[str, ModelStatus]:
    """Returns the status of a model by the address of each server.

    Raises:
        UserError: Its version policy is not `specific`, or no place has the model.
    """
    from serving.client import Client
    from serving.rollout import status

    found: dict[str, ModelStatus] = {}
    tls = server_tls(options)
    for address in server_address(options).split(","):
        with Client(address, timeout=options.timeout, attempts=1, label="", tls=tls) as client:
            found[address] = (
                status.on_server(next(iter(found.values())), client)
                if found
                else status.read_status(files, name, registered, client)
            )
    if not any(each.versions for each in found.values()):
        raise UserError(
            f"no model {name!r} is in {files.path}, nor in the registry or on a server that answers"
        )
    return found
