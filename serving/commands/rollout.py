"""The commands that change what is served: deploy, promote, rollback, undeploy."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from serving.client.traffic import STABLE
from serving.commands import signals
from serving.commands.options import (
    DEFAULT_REPOSITORY,
    add_allowed_ops,
    add_model_command,
    positive_number,
    server_tls,
)
from serving.commands.output import print_line
from serving.commands.words import as_called
from serving.engines import record
from serving.engines.engine import ENGINES, choose
from serving.errors import UserError
from serving.rollout.models_config import CANARY

if TYPE_CHECKING:
    from serving.rollout.promote import Rollout
    from serving.rollout.target import RolloutTarget


def add_commands(commands: Any) -> None:
    """Adds the commands to a parser's `add_subparsers()`."""
    _add_deploy(commands)
    promote = add_model_command(
        commands, "promote", _promote, "move a label, by default stable to the canary"
    )
    promote.add_argument("--label", default=STABLE, help="label to move (default: stable)")
    which = promote.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, help="version of the repository that gets the label")
    which.add_argument(
        "--from",
        dest="source",
        default=CANARY,
        help="label whose version gets the label (default: canary)",
    )
    add_model_command(
        commands, "rollback", _rollback, "move stable back to the version that had it before"
    )
    undeploy = add_model_command(
        commands, "undeploy", _undeploy, "stop serving versions and delete them"
    )
    undeploy.add_argument("--version", type=int, help="version (default: all)")
    undeploy.add_argument("--force", action="store_true", help="even if it has a label")


def _add_deploy(commands: Any) -> None:
    deploy = add_model_command(
        commands, "deploy", _deploy, "serve a registered version under a label"
    )
    which = deploy.add_mutually_exclusive_group()
    which.add_argument(
        "--alias", default="champion", help="the version's alias (default: champion)"
    )
    which.add_argument("--version", type=int, help="version, instead of an alias")
    label = deploy.add_mutually_exclusive_group()
    label.add_argument(
        "--label", help="label of the version (default: canary, or stable where no version is)"
    )
    label.add_argument(
        "--now",
        dest="label",
        action="store_const",
        const=STABLE,
        help="make it stable at once, and so the champion, without a canary",
    )
    deploy.add_argument(
        "--force",
        action="store_true",
        help="deploy a version that the gate of its run refused; it does not become champion",
    )
    deploy.add_argument(
        "--engine",
        choices=("auto", *ENGINES),
        default="auto",
        help="engine that the candidate is tried on (default: auto)",
    )
    deploy.add_argument(
        "--latency_budget",
        type=positive_number,
        default=5000.0,
        metavar="MS",
        help="median milliseconds that a golden request may take (default: 5000)",
    )
    deploy.add_argument(
        "--unverified",
        action="store_true",
        help="accept a version without golden requests; it is recorded as unverified",
    )
    add_allowed_ops(deploy)


def _target(options: argparse.Namespace) -> RolloutTarget:
    from serving.rollout.model_repository import Repository
    from serving.rollout.target import RolloutTarget

    tls = server_tls(options)
    options.address = options.address or record.address(options.repository)
    return RolloutTarget(Repository(options.repository), options.address, tls=tls)


def _where(options: argparse.Namespace) -> str:
    """Returns the options that make another command find the same repository and servers."""
    repository, address = options.repository, options.address
    where = "" if repository == DEFAULT_REPOSITORY else f" --repository {repository}"
    return where + (f" --address {address}" if address != record.address(repository) else "")


def _deploy(options: argparse.Namespace) -> None:
    from serving.rollout.deploy import deploy
    from serving.rollout.model_registry import Registry

    alias = options.alias if options.version is None else ""
    with signals.as_ctrl_c():  # Stops the candidate's server, too.
        done = deploy(
            _target(options),
            Registry(),
            options.model,
            lambda: choose(options.engine),
            alias=alias,
            version=options.version,
            label=options.label,
            budget=options.latency_budget,
            unverified=options.unverified,
            force=options.force,
            allowed_ops=options.allow_ops,
        )
    # A version that has its label already is not the registry's champion for that.
    moved = done.before.labels.get(done.label) != done.version
    said = _follow(done) if options.label or moved else []
    if done.validation is not None and done.validation.requests:
        print_line(
            f"{done.validation.requests} golden requests answered within tolerance, "
            f"the slowest in {done.validation.slowest:.1f} ms"
        )
    _report(done, "deployed", said)
    if done.label == CANARY:
        where = _where(options)
        print_line(f"next: python -m serving compare {done.name}{where}")
        print_line(f"then: python -m serving promote {done.name}{where}")


def _promote(options: argparse.Namespace) -> None:
    from serving.rollout.promote import promote

    done = promote(
        _target(options),
        options.model,
        label=options.label,
        version=options.version,
        source=options.source,
    )
    _report(done, "promoted", _follow(done))


def _rollback(options: argparse.Namespace) -> None:
    from serving.rollout.promote import rollback

    done = rollback(_target(options), options.model)
    _report(done, "is stable again", _follow(done))


def _undeploy(options: argparse.Namespace) -> None:
    from serving.rollout.promote import undeploy

    removed = undeploy(
        _target(options), options.model, version=options.version, force=options.force
    )
    numbers = ", ".join(map(str, removed))
    noun = "version" if len(removed) == 1 else "versions"
    print_line(f"{options.model} {noun} {numbers} removed")


def _follow(done: Rollout) -> list[str]:
    """Moves the registry's aliases to where the labels are now; returns what is to be said."""
    from serving.rollout.model_registry import Registry

    try:
        return Registry().follow(done.name, done.after.labels, done.label)
    except UserError as error:  # The rollout is done all the same.
        print(
            as_called(f"warning: the registry's aliases stay as they were: {error}"),
            file=sys.stderr,
        )
        return []


def _report(done: Rollout, how: str, said: list[str]) -> None:
    """Prints what was done."""
    labels = ", ".join(f"{label} {n}" for label, n in sorted(done.after.labels.items()))
    print_line(f"{done.name} version {done.version} {how}: {done.path}")
    print_line(f"labels: {labels}")
    for line in said:
        print_line(line)
    if not done.servers:
        print_line("no running server serves this repository; start one: python -m serving up")
    if done.loaded:
        numbers = ", ".join(map(str, done.loaded))
        print(
            f"warning: {done.name} version {numbers} is still loaded; the server unloads it when "
            "its last request has ended",
            file=sys.stderr,
        )
    if done.unblessed:
        print(as_called(f"warning: {done.unblessed}"), file=sys.stderr)
