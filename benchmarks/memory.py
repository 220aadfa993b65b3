"""Recurrent cells on two problems that need a memory over many steps.

- adding (Hochreiter & Schmidhuber, "Long Short-Term Memory", 1997, as in Arjovsky et al. 2016):
  each step has a number in [0, 1] and a marker; one number in either half of the sequence is
  marked, and the target is their sum. Always answering 1 has a mean squared error of 1/6.
- copy (Arjovsky, Shah & Bengio, "Unitary Evolution Recurrent Neural Networks", 2016, after
  Hochreiter & Schmidhuber): ten random letters of eight, T - 1 blanks, a delimiter and ten blanks;
  the target is T + 10 blanks, then the letters. Without a memory, the best cross-entropy is
  10 ln 8 / (T + 20), the mean over all steps.

A network sees each training example once. The norm of the gradient with respect to the input of
each step is measured before the first update and after the last one.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from serving.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROBLEMS, CELLS = ("adding", "copy"), ("simple_rnn", "lstm", "gru")
LETTERS, COPIED = 8, 10
_DELIMITER = LETTERS + 1
_TEST_EXAMPLES = 500
_QUICK_UPDATES = 200

console = Console(highlight=False)


@dataclass(frozen=True)
class Row:
    """One network's result.

    Attributes:
        problem: "adding" or "copy".
        cell: Name of the architecture.
        steps: The T of the problem.
        clip_norm: Norm to which gradients were clipped, 0 for none.
        loss: On test: mean squared error, or mean cross-entropy in nats.
        baseline: The loss without a memory.
        curve: Training loss of each update.
        before: Norm of the gradient at each step's input before training, in the order of steps.
        after: The same after training.
        seconds: Duration of the training.
    """

    problem: str
    cell: str
    steps: int
    clip_norm: float
    loss: float
    baseline: float
    curve: np.ndarray
    before: np.ndarray
    after: np.ndarray
    seconds: float

    @property
    def worst(self) -> float:
        """The largest training loss after the first tenth of the updates."""
        return float(self.curve[len(self.curve) // 10 :].max())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument(
        "--steps", nargs="+", type=int, default=[50, 100, 200], help="T (default: 50 100 200)"
    )
    parser.add_argument(
        "--clip_norm",
        nargs="+",
        type=float,
        default=[1.0],
        help="global norms to clip gradients to, 0 for none (default: 1)",
    )
    parser.add_argument("--optimizer", choices=("adam", "sgd"), default="adam")
    parser.add_argument("--learning_rate", type=float, default=5e-3, help="(default: 0.005)")
    parser.add_argument("--updates", type=int, default=1500, help="(default: 1500)")
    parser.add_argument("--batch_size", type=int, default=32, help="(default: 32)")
    parser.add_argument("--units", type=int, default=64, help="(default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"one problem, the shortest T, at most {_QUICK_UPDATES} updates",
    )


def run(options: argparse.Namespace) -> None:
    """Trains every network, prints the table and logs the run with MLflow.

    Raises:
        UserError: An option is out of its range, or the tracking store cannot be used.
    """
    _check(options)
    if options.quick:
        options.problems, options.steps = options.problems[:1], [min(options.steps)]
        options.updates = min(options.updates, _QUICK_UPDATES)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    rows = []
    for problem, steps, cell, clip_norm in product(
        options.problems, options.steps, options.cells, options.clip_norm
    ):
        rows.append(train(problem, cell, steps, clip_norm, options))
        console.print(_line(rows[-1]), soft_wrap=True)
    console.print(table(rows))
    from benchmarks import report

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    chosen = {name: str(value) for name, value in vars(options).items()}
    run, store = report.log_tables("memory", chosen, _records(rows), figures(rows))
    console.print(f"run        {run} in {store}", soft_wrap=True)


def adding(examples: int, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns inputs, float32 [examples, steps, 2], and sums, float32 [examples, 1]."""
    random = np.random.default_rng(seed)
    values = random.uniform(size=(examples, steps)).astype(np.float32)
    markers = np.zeros_like(values)
    half, every = steps // 2, np.arange(examples)
    markers[every, random.integers(0, half, examples)] = 1
    markers[every, random.integers(half, steps, examples)] = 1
    return np.stack([values, markers], axis=-1), (values * markers).sum(1, keepdims=True)


def copy(examples: int, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns inputs and targets, int32 [examples, steps + 20]; 0 is a blank."""
    letters = np.random.default_rng(seed).integers(1, LETTERS + 1, (examples, COPIED))
    inputs = np.zeros((examples, steps + 2 * COPIED), np.int32)
    inputs[:, :COPIED] = letters
    inputs[:, steps + COPIED - 1] = _DELIMITER
    targets = np.zeros_like(inputs)
    targets[:, -COPIED:] = letters
    return inputs, targets


def baseline(problem: str, steps: int) -> float:
    """Returns the expected loss without a memory."""
    return 1 / 6 if problem == "adding" else COPIED * math.log(LETTERS) / (steps + 2 * COPIED)


def train(
    problem: str, cell: str, steps: int, clip_norm: float, options: argparse.Namespace
) -> Row:
    """Trains one network from its seed."""
    import keras

    from pipelines.training.probe import Probe

    keras.backend.clear_session()
    keras.utils.set_random_seed(options.seed)
    network, loss, batch = _problem(problem, cell, steps, options.units)
    optimizer = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[options.optimizer]
    network.compile(
        optimizer(options.learning_rate, global_clipnorm=clip_norm or None),
        loss,
        jit_compile=True,  # On CPUs, XLA's loops over steps are several times as fast.
    )
    probe = Probe(network, network, batch(options.batch_size, options.seed + 1))
    (before,) = probe.measure().over_time.values()
    curve: list[float] = []

    def keep(_: int, logs: Mapping[str, float]) -> None:
        curve.append(float(logs["loss"]))
        network.reset_metrics()

    started = time.perf_counter()
    network.fit(
        *batch(options.updates * options.batch_size, options.seed + 2),
        batch_size=options.batch_size,
        callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=keep)],
        shuffle=False,
        verbose=0,
    )
    seconds = time.perf_counter() - started
    (after,) = probe.measure().over_time.values()
    inputs, targets = batch(_TEST_EXAMPLES, options.seed + 3)
    outputs = network.predict_on_batch(inputs)
    test = float(np.mean(keras.losses.get(loss)(targets, outputs)))
    expected = baseline(problem, steps)
    return Row(
        *(problem, cell, steps, clip_norm, test, expected),
        *(np.array(curve), before, after, seconds),
    )


def _problem(
    problem: str, cell: str, steps: int, units: int
) -> tuple[Any, Any, Callable[[int, int], tuple[dict[str, np.ndarray], np.ndarray]]]:
    """Returns a network, its loss, and a function from examples and a seed to a batch."""
    import keras

    import architectures

    loss: Any = keras.losses.MeanSquaredError()
    make, name = adding, "features"
    options: dict[str, Any] = {"outputs": 1, "input_size": 2}
    if problem == "copy":
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        make, name = copy, "token_ids"
        options = {"outputs": LETTERS + 1, "vocabulary": LETTERS + 2, "embedding": 16}
        options["output"] = "sequence"

    def batch(examples: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        inputs, targets = make(examples, steps, seed)
        return {name: inputs, "padding_mask": np.ones(inputs.shape[:2], np.int32)}, targets

    return architectures.build(cell, units=[units], **options), loss, batch


def table(rows: Sequence[Row]) -> Table:
    """Returns the results as a table."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("problem", "T", "cell", "clip", "test loss", "without memory", "gradient"):
        shown.add_column(header, justify="left" if header in ("problem", "cell") else "right")
    for row in rows:
        before, after = (first_over_last(norms) for norms in (row.before, row.after))
        shown.add_row(
            *(row.problem, str(row.steps), row.cell, f"{row.clip_norm:g}"),
            *(f"{row.loss:.4f}", f"{row.baseline:.4f}", f"{before:.1e} → {after:.1e}"),
        )
    return shown


def first_over_last(norms: np.ndarray) -> float:
    """Returns the gradient at the first tenth of the steps over that at the last tenth."""
    tenth = max(1, len(norms) // 10)
    return float(np.median(norms[:tenth]) / np.median(norms[-tenth:]))


def figures(rows: Sequence[Row]) -> dict[str, Figure]:
    """Returns learning curves, and gradients over the steps of a sequence, by name."""
    from matplotlib.figure import Figure

    places = list(dict.fromkeys((row.problem, row.steps) for row in rows))
    problems = list(dict.fromkeys(problem for problem, _ in places))
    lengths = list(dict.fromkeys(steps for _, steps in places))
    cells = list(dict.fromkeys((row.cell, row.clip_norm) for row in rows))
    clips = len({clip for _, clip in cells}) > 1
    drawn = {}
    for name in ("curves", "gradients"):
        figure = Figure(figsize=(4 * len(lengths), 3.2 * len(problems)), layout="constrained")
        panels = figure.subplots(len(problems), len(lengths), squeeze=False)
        for row in rows:
            axes = panels[problems.index(row.problem), lengths.index(row.steps)]
            color = f"C{cells.index((row.cell, row.clip_norm))}"
            label = f"{row.cell}, clip {row.clip_norm:g}" if clips else row.cell
            if name == "curves":
                width = max(1, len(row.curve) // 60)
                smooth = np.convolve(row.curve, np.ones(width) / width, mode="valid")
                axes.plot(np.arange(len(smooth)) + width, smooth, color=color, label=label)
                axes.axhline(row.baseline, color="tab:gray", linestyle="--", linewidth=1)
                axes.set(xlabel="update", ylabel="training loss", yscale="log")
            else:
                axes.plot(np.maximum(row.before, 1e-30), color=color, linestyle=":")
                axes.plot(np.maximum(row.after, 1e-30), color=color, label=label)
                axes.set(xlabel="step of the sequence", ylabel="gradient norm", yscale="log")
            axes.set_title(f"{row.problem}, T = {row.steps}")
            axes.grid(alpha=0.3)
        panels[0, 0].legend(frameon=False, fontsize=8)
        note = "gray: without a memory" if name == "curves" else "dotted: before training"
        figure.suptitle(f"{'Learning curves' if name == 'curves' else 'Gradients'} ({note})")
        drawn[f"memory_{name}"] = figure
    return drawn


def _records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [
        {
            **{name: value for name, value in vars(row).items() if np.isscalar(value)},
            "largest_loss": row.worst,
            "gradient_before": first_over_last(row.before),
            "gradient_after": first_over_last(row.after),
        }
        for row in rows
    ]


def _line(row: Row) -> str:
    return (
        f"{row.problem}, T = {row.steps}: {row.cell}, clip {row.clip_norm:g}: test loss "
        f"{row.loss:.4f}, without a memory {row.baseline:.4f}, {row.seconds:.0f} s"
    )


def _check(options: argparse.Namespace) -> None:
    lowest = {"updates": 10, "batch_size": 1, "units": 1, "seed": 0}
    for name, low in lowest.items():
        if getattr(options, name) < low:
            raise UserError(f"--{name} must be at least {low}, not {getattr(options, name)}")
    if min(options.steps) < 4:
        raise UserError(f"--steps must be at least 4, not {min(options.steps)}")
    if min(options.clip_norm) < 0:
        raise UserError(f"--clip_norm must be at least 0, not {min(options.clip_norm):g}")
    if not options.learning_rate > 0:
        raise UserError(f"--learning_rate must be above 0, not {options.learning_rate:g}")
