"""`python -m benchmarks NAME [--option value …]`: what is fast, and compared with what."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from benchmarks import BENCHMARKS
from benchmarks.processes import ProcessFailedError
from serving.errors import UserError

_DETAILS = {
    "serving": """
Starts model servers of this project and the references, each as a process, and puts loads on
them: closed loops (N clients that ask again when answered) and open loops (requests that arrive
when they do, whose latency counts from then). Contenders take turns, round by round; ratios are
those of the median round. Results go to the terminal and to MLflow's experiment "benchmarks".

experiments:
  trivial    half_plus_two: what the server itself costs, by concurrency, workers, gRPC and REST
  batching   a dense network: batching off and on
  images     a small convnet: gRPC and REST beside `mlflow models serve` on the same SavedModel
  resnet50   ResNet-50: beside TensorFlow in process, where nothing but computing should count

TensorFlow Serving's own program takes part if tensorflow_model_server is on the PATH, or
$TENSORFLOW_MODEL_SERVER names it. Numbers mean something on a machine that is quiet otherwise.
"""
}


def main(arguments: Sequence[str]) -> int:
    """Runs the command line and returns its exit code.

    0: done. 1: a server failed. 2: a choice cannot work. 130: interrupted.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        options = _parser().parse_args(arguments or ["--help"])
        importlib.import_module(f"benchmarks.{options.benchmark}").run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ProcessFailedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: nothing was logged", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="benchmark", required=True, metavar="NAME")
    for name, summary in BENCHMARKS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=_DETAILS[name],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        importlib.import_module(f"benchmarks.{name}").add_arguments(command)
    return parser


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Interrupts once; what is being ended then takes its time."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
