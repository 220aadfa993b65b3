"""The options of a comparison of runs."""

from __future__ import annotations

import argparse
from typing import NoReturn

from pipelines.cli import PROGRAM
from pipelines.errors import UserError

EXPERIMENT = "comparison"
_LAST = 10


class Parser(argparse.ArgumentParser):
    """A parser that raises `UserError` for wrong options."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; {self.prog} --help lists the options")


def parser_of(prog: str = PROGRAM) -> argparse.ArgumentParser:
    """Returns the parser of a program called `prog`, which raises `UserError`."""
    parser = Parser(
        prog=f"{prog} compare",
        usage=f"{prog} compare RUN RUN … [--option value …]",
        description="Compares runs with the first of them.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="an ID or its beginning, a run's name, runs:/ID, models:/NAME@ALIAS or "
        "models:/NAME/VERSION",
    )
    parser.add_argument("--experiment", default="", help="compare the runs of an experiment")
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="compare the runs with this tag; may be repeated",
    )
    parser.add_argument(
        "--last",
        type=int,
        default=_LAST,
        metavar="N",
        help=f"of an experiment or with a tag, the newest N runs (default: {_LAST})",
    )
    parser.add_argument("--output", default="", metavar="FILE", help="write the HTML report here")
    parser.add_argument(
        "--no_log",
        dest="log",
        action="store_false",
        help=f"log no run with the report in the experiment {EXPERIMENT}",
    )
    return parser
