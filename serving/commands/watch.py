"""The command `watch`: requests compared with what a version was validated on."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from serving.client.traffic import STABLE
from serving.commands.options import add_repository, add_version, positive_integer
from serving.commands.output import print_line, print_table
from serving.errors import UserError

DRIFT = 3  # The exit code.


def add_command(commands: Any) -> None:
    """Adds the command to a parser's `add_subparsers()`."""
    watch = commands.add_parser(
        "watch", help="compare logged requests with what a version was validated on"
    )
    watch.set_defaults(command=_watch, parser=watch)
    watch.add_argument("model", help="served name")
    watch.add_argument(
        "--log",
        nargs="+",
        required=True,
        metavar="FILE",
        help="files of the server's request log, or folders of them",
    )
    add_version(watch)
    watch.add_argument(
        "--sample",
        type=positive_integer,
        default=2000,
        help="examples that are read, in random order (default: 2000)",
    )
    watch.add_argument(
        "--report",
        type=Path,
        metavar="FOLDER",
        help="write the report into a folder, and not to MLflow",
    )
    add_repository(watch)


def _watch(options: argparse.Namespace) -> int:
    from serving.rollout.model_registry import Registry
    from serving.rollout.model_repository import Repository
    from serving.watching import report, watch

    repository = Repository(options.repository)
    version = options.version or _labeled(repository, options.model, options.label or STABLE)
    folder = repository.version(options.model, version)
    if not folder.is_dir():
        raise UserError(f"{options.repository} has no version {version} of {options.model}")
    registry = None if options.report else Registry()
    registered = registry.find(options.model, version=version) if registry else None
    found = watch.watch(options.model, version, folder, options.log, most=options.sample)
    for signature, compared in found.compared.items():
        print_table(report.table(signature, compared))
    for sentence in found.sample.damaged:
        print_line(f"note: {sentence}")
    if not found.conclusive:
        raise UserError(found.sentence())
    print_line(found.sentence())
    if registry and registered:
        with tempfile.TemporaryDirectory() as scratch:
            page = report.write(found, Path(scratch))
            metrics = {f"drift/{signature}/{one.name}": one.index for signature, one in found.every}
            where = registry.log_report(registered, "drift", Path(scratch), page, metrics)
        print_line(f"report   {where}")
    else:
        report.write(found, options.report)
        print_line(f"report   {options.report / report.PAGE}")
    return DRIFT if found.drifted else 0


def _labeled(repository: Any, model: str, label: str) -> int:
    """Returns the version that has a label in the repository.

    Raises:
        UserError: None has.
    """
    from serving.rollout import models_config

    labels = models_config.entry(repository.config(), model).labels
    if label not in labels:
        known = ", ".join(f"{name} {n}" for name, n in sorted(labels.items())) or "none"
        raise UserError(
            f"{repository.path} has no version of {model} with the label {label}; its labels are: "
            f"{known}; deploy it: python -m serving deploy {model}"
        )
    return labels[label]
