"""The options of an export of variants."""

from __future__ import annotations

import argparse

from pipelines.cli import PROGRAM
from pipelines.comparison.options import Parser

# By name, what is smaller or faster.
NAMES = {
    "bfloat16": "weights of half the size, with which the network computes in float32",
    "int8": "weights of dense layers and embeddings in eight bits, by Keras' quantization",
    "xla": "the network's call compiled by XLA, for inputs of one shape",
    "frozen": "weights as constants of the graph, without files of variables",
}
_MAX_LOSS = 0.01


def parser_of(prog: str = PROGRAM) -> argparse.ArgumentParser:
    """Returns the parser of a program called `prog`, which raises `UserError`."""
    variants = "; ".join(f"{name}: {what}" for name, what in NAMES.items())
    parser = Parser(
        prog=f"{prog} export",
        usage=f"{prog} export RUN --variants NAME … [--max_loss FRACTION]",
        description="Exports variants of the network that a run trained, each registered as a "
        f"version of the same model. {variants}.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        help="an ID or its beginning, a run's name, runs:/ID, models:/NAME@ALIAS or "
        "models:/NAME/VERSION",
    )
    parser.add_argument(
        "--variants",
        nargs="+",
        required=True,
        choices=list(NAMES),
        metavar="NAME",
        help=", ".join(NAMES),
    )
    parser.add_argument(
        "--max_loss",
        type=float,
        default=_MAX_LOSS,
        metavar="FRACTION",
        help="of the trained network's score on test that a variant may lose; one that loses more "
        f"is not registered (default: {_MAX_LOSS})",
    )
    return parser
