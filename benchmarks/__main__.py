"""`python -m benchmarks NAME [--option value …]`: measurements compared with references."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import pipelines.errors
from benchmarks import BENCHMARKS
from benchmarks.processes import ProcessFailedError
from serving.commands.exit_codes import exit_code
from serving.errors import UserError

_DETAILS = {
    "serving": """
Starts the systems under test, which are model servers of this project and references, each as a
process, and generates load: closed loops (N clients, each of which sends a request when the last
one was answered) and open loops (requests at random times, from which their latency counts).
Systems take turns, round by round; ratios are those of the median round. Results are printed, and
logged in MLflow's experiment "benchmarks".

experiments:
  trivial    half_plus_two: overhead of the server, by concurrency, workers, gRPC and REST
  large      the same model, while the server reads and writes bodies of 6 MB over REST
  batching   a dense network: batching off and on
  images     a small convnet: gRPC and REST, and `mlflow models serve` on the same SavedModel
  resnet50   ResNet-50: compared with TensorFlow in process; the computation should dominate
  repository the models of --repository on an example each, as those of the pipelines' default runs

TensorFlow Serving's program is included if tensorflow_model_server is on the PATH, or
$TENSORFLOW_MODEL_SERVER names it. Run it on an otherwise idle machine.
""",
    "score": """
Scores the same random rows with python -m serving score, with requests one by one to the embedded
server over gRPC, and with mlflow models predict. Each is measured in turns with the first. Results
are printed, and logged in MLflow's experiment "benchmarks".
""",
    "training": """
Trains networks by their pipelines and by a bare `model.fit` on the same batches in memory, in
turns. Ratios are the reference's processor time over ours. Results are printed, and logged in
MLflow's experiment "benchmarks".
""",
    "builders": """
Trains networks of the builders beside the same ones of Keras and KerasHub, steps in turns, and
measures the most memory of each in a process of its own. Ratios are the reference's processor time,
or memory, over ours. Results are printed, and logged in MLflow's experiment "benchmarks".
""",
    "input": """
Measures what a batch costs the processor, beside decoding alone, and how long a step of a
millisecond waits for it, for records, JPEG files, texts and sequences of tokens. Results are
printed, and logged in MLflow's experiment "benchmarks".
""",
    "text": """
Trains a BERT of two layers on texts of 8 to 480 words in buckets by length, in batches padded to
their longest text, and padded to 512 tokens. Ratios are processor time for tokens that are no
padding. Results are printed, and logged in MLflow's experiment "benchmarks".
""",
    "setup": """
Measures imports and the commands' help, how long MLflow's UI takes to its first page and what
memory it holds, and with --only demo the time of make demo in a fresh clone, which downloads 3 GB.
Results are printed, and logged in MLflow's experiment "benchmarks".
""",
    "growth": """
Reads images, texts, parallel texts, documents and series of 10^3 to 10^6 examples, each size in a
process of its own, and measures the time to the first training step, the most memory, and what an
example costs in batches and in evaluation. All sizes take about an hour. Results are printed, and
logged in MLflow's experiment "benchmarks".
""",
    "inference": """
Exports small networks and their variants, and compares their answers through a session with
`model(x)` and a compiled function, and the variants' size, load and warmup with those of the
trained network. Results are printed, and logged in MLflow's experiment "benchmarks".
""",
    "decoding": """
Generates tokens after prompts of 16 to 1024 tokens with cached keys and values, and by recomputing
all of them; with the graph that is served and with a loop in Python; greedily, by sampling and by
beam search. Results are printed, and logged in MLflow's experiment "benchmarks".
""",
    "drawing": """
Runs each pipeline once, and measures what part of its processor time its figures take, with all
that is computed for them alone. Ratios are the run's time over that of its figures. The default
runs take about forty minutes of a CPU, those of an epoch ten. Results are printed, and logged in
MLflow's experiment "benchmarks".
""",
    "diagnosis": """
Trains small networks in pairs of rounds, one with a diagnosis at the default interval and one
without, and compares their times. Results are printed, and logged in MLflow's experiment
"benchmarks".
""",
    "memory": """
Trains recurrent networks on the adding problem (Hochreiter & Schmidhuber 1997) and the copy problem
(Arjovsky et al. 2016), and measures how the gradient fades over the steps of a sequence. All
combinations of problems, T, cells and clipping norms are trained, each from the same seed, which
takes about fifteen minutes of a CPU. Results are printed, and logged in MLflow's experiment
"benchmarks".
""",
    "defaults": """
Runs every pipeline with its defaults and several seeds, each as a user would, and writes a table:
processor time, scores, the strongest baseline's, and the interval of the paired difference on test.
Runs go to a store of their own; one that is there already is not repeated if its config and its
data are those of today and its code had no uncommitted changes. All of them take hours of processor
time. The table is logged in MLflow's experiment "benchmarks".
""",
    "augmentation": """
Measures how many images per second each kind of augmentation changes on this machine's CPUs, in
batches as in training. Results are printed, and logged in MLflow's experiment "benchmarks".
""",
    "gpu": """
Trains ResNet-50, BERT base and GPT-2 small in mixed bfloat16, decodes with GPT-2 small, and serves
ResNet-50 and BERT with batching off and on. Reports floating-point operations a second, and their
fraction of the device's peak. KERAS_BACKEND=jax runs training and decoding with JAX. Without a GPU
it says so and measures nothing. Results are printed, and logged in MLflow's experiment
"benchmarks".
""",
    "all": """
Runs the benchmarks one after the other, each in a process of its own, and writes
docs/performance.md with the newest table of each that is in MLflow's experiment "benchmarks". Run
it on an otherwise idle machine.
""",
}


def main(arguments: Sequence[str]) -> int:
    """Runs the command line and returns its exit code.

    0: done. 1: a server failed. 2: a user error. 130: interrupted.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)

    def run() -> None:
        options = _parser().parse_args(arguments or ["--help"])
        try:
            importlib.import_module(f"benchmarks.{options.benchmark}").run(options)
        except pipelines.errors.UserError as error:
            raise UserError(str(error)) from error

    return exit_code(run, (ProcessFailedError,), interrupted="interrupted: nothing was logged")


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
    """Interrupts once; later signals are ignored while processes end."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
