"""Growth: what start-up, memory and an example cost as a data set gets larger.

Each size has a process of its own, which reads the data, trains one step of a small network, takes
the batches of an epoch without training on them, and evaluates the network. What then grows with
the number of examples is the data's, not the network's. The reference is the smallest size: an
exponent is the slope in logarithms from there, 0 for what stays the same and 1 for what grows with
the data.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from benchmarks import report, synthetic
from benchmarks.comparison import console, cpu_seconds, quiet
from benchmarks.processes import AnonymousPeak, isolated, peak_memory
from serving.errors import UserError

_SIZES = (1_000, 10_000, 100_000, 1_000_000)
_QUICK_SIZES = _SIZES[:2]
_QUICK_KINDS = ("images", "texts", "series")


@dataclass(frozen=True)
class Growth:
    """What a data set of one size cost.

    Attributes:
        name: The kind of data.
        examples: Number of examples in all splits.
        data_bytes: Size of the files.
        start_seconds: From the start of the process to the end of the first training step.
        start_cpu_seconds: Processor time until then, which other processes change little.
        batch_microseconds: Processor time of an example in an epoch's batches, without training.
        score_microseconds: Processor time of an example in the evaluation of validation and test.
        start_bytes: The most memory until the end of the first step, without mapped files, of which
            the system drops what it needs the room for.
        peak_bytes: The same until the end.
        resident_bytes: The most memory until the end, mapped files and programs with it.
    """

    name: str
    examples: int
    data_bytes: int
    start_seconds: float
    start_cpu_seconds: float
    batch_microseconds: float
    score_microseconds: float
    start_bytes: int
    peak_bytes: int
    resident_bytes: int


@dataclass(frozen=True)
class Kind:
    """A kind of data.

    Attributes:
        command: The pipeline and its options, without `--dataset`.
        write: Writes a data set of so many examples to a folder; returns what `--dataset` takes.
    """

    command: str
    write: Callable[[Path, int], Path]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    parser.add_argument(
        "--only", nargs="+", choices=list(KINDS), metavar="NAME", help=", ".join(KINDS)
    )
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=list(_SIZES), help="(default: 10^3 to 10^6)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"10^3 and 10^4 examples of {', '.join(_QUICK_KINDS)}",
    )


def run(options: argparse.Namespace) -> None:
    """Measures, prints the table and logs the run with MLflow.

    Raises:
        UserError: An option is out of its range, or the tracking store cannot be used.
    """
    if min(options.sizes) < 100:
        raise UserError(f"--sizes must be at least 100, not {min(options.sizes)}")
    sizes = sorted(set(_QUICK_SIZES if options.quick else options.sizes))
    quiet()
    names = options.only or (_QUICK_KINDS if options.quick else KINDS)
    found = [each for name in names for each in _measured(name, sizes)]
    console.print(table(found))
    chosen = {option: str(value) for option, value in vars(options).items()}
    run, store = report.log_tables("growth", chosen, records(found), {"growth": figure(found)})
    console.print(f"run        {run} in {store}", soft_wrap=True)


def exponent(first: Growth, last: Growth) -> float:
    """Returns the slope of memory in logarithms: 0 for none, 1 if it grows with the data."""
    return float(
        np.log(last.peak_bytes / first.peak_bytes) / np.log(last.examples / first.examples)
    )


def bytes_of_an_example(first: Growth, last: Growth) -> float:
    """Returns by how many bytes the most memory grows with an example."""
    return (last.peak_bytes - first.peak_bytes) / (last.examples - first.examples)


def records(found: Sequence[Growth]) -> list[dict[str, object]]:
    """Returns rows of a table; the last two columns compare a size with the one before."""
    rows: list[dict[str, object]] = []
    for before, each in pairwise([None, *found]):
        assert each
        same = before if before and before.name == each.name else None
        rows.append(
            {
                "name": each.name,
                "examples": each.examples,
                "data_MiB": round(each.data_bytes / 2**20, 1),
                "start_s": round(each.start_seconds, 1),
                "start_CPU_s": round(each.start_cpu_seconds, 1),
                "batches_µs": round(each.batch_microseconds, 1),
                "scores_µs": round(each.score_microseconds),
                "start_MiB": round(each.start_bytes / 2**20),
                "memory_MiB": round(each.peak_bytes / 2**20),
                "resident_MiB": round(each.resident_bytes / 2**20),
                "bytes_an_example": round(bytes_of_an_example(same, each)) if same else None,
                "exponent": round(exponent(same, each), 2) if same else None,
            }
        )
    return rows


def table(found: Sequence[Growth]) -> Table:
    """Returns the costs by size."""
    rows = records(found)
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for key in rows[0]:
        shown.add_column(key.replace("_", " "), justify="left" if key == "name" else "right")
    for row in rows:
        cells = (
            f"{value:,}" if isinstance(value, int | float) else value for value in row.values()
        )
        shown.add_row(*(str(cell or "") for cell in cells))
    return shown


def figure(found: Sequence[Growth]) -> Figure:
    """Plots memory, start-up and time of an example by the number of examples."""
    drawing = Figure(figsize=(11, 3.6), layout="constrained")
    titles = ("memory in MiB", "start-up, CPU seconds", "batches, µs of CPU an example")
    for axes, title in zip(drawing.subplots(1, 3), titles, strict=True):
        for name in dict.fromkeys(each.name for each in found):
            own = [each for each in found if each.name == name]
            values = {
                titles[0]: [each.peak_bytes / 2**20 for each in own],
                titles[1]: [each.start_cpu_seconds for each in own],
                titles[2]: [each.batch_microseconds for each in own],
            }
            axes.plot([each.examples for each in own], values[title], "o-", label=name)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("examples")
        axes.set_title(title)
    axes.legend()
    return drawing


def _measured(name: str, sizes: Sequence[int]) -> Iterator[Growth]:
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="foundry-benchmark-") as scratch:
            folder = Path(scratch)
            with console.status(f"{name}, {size:,} examples"):
                dataset = KINDS[name].write(folder, size)
                started = time.time()
                with isolated(folder / "log") as process:
                    costs = process.submit(_costs, KINDS[name].command, str(dataset), started)
                    found = Growth(name, size, _size(dataset), *costs.result())
            console.print(f"{name}, {size:,} examples: {found.peak_bytes / 2**20:,.0f} MiB")
            yield found


def _costs(
    command: str, dataset: str, started: float
) -> tuple[float, float, float, float, int, int, int]:
    """Reads, trains a step, reads an epoch and evaluates; returns the last fields of `Growth`."""
    quiet()
    memory = AnonymousPeak()
    from pipelines import allocation, evaluation
    from pipelines.cli import parse
    from pipelines.datasets import checks
    from pipelines.run import load
    from pipelines.training import batching, trainer

    allocation.keep_freed_memory()
    task, data = load(*parse([*command.split(), f"--dataset={dataset}", "--epochs=1"]))
    checks.check(data)
    model = trainer.build(task, data).model
    batches = iter(batching.training_batches(task, data))
    model.train_on_batch(*next(batches))
    start = time.time() - started, time.process_time()
    start_bytes = memory.bytes()
    batch_seconds = cpu_seconds(lambda: [None for _ in batches])
    score_seconds = cpu_seconds(lambda: evaluation.evaluate(task, model, data))
    memory.end()
    return (
        *start,
        1e6 * batch_seconds / data.sizes["train"],
        1e6 * score_seconds / (data.sizes["validation"] + data.sizes["test"]),
        start_bytes,
        memory.bytes(),
        peak_memory(),
    )


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(file.stat().st_size for file in files)


KINDS: Mapping[str, Kind] = {
    "images": Kind(
        "image_classification --architecture mlp --model.units [8] --batch_size 256",
        synthetic.images,
    ),
    "texts": Kind(
        "text_classification --architecture fasttext --model.buckets 1000 --batch_size 256",
        synthetic.texts,
    ),
    "pairs": Kind(
        "translation --source_tokens words --target_tokens words --model.units 8 "
        "--model.embedding 8 --batch_size 256 --beams 1 --max_length 24",
        synthetic.pairs,
    ),
    "documents": Kind(
        "language_modeling --architecture lstm --model.units [8] --model.embedding 8 "
        "--batch_size 256",
        synthetic.documents,
    ),
    "series": Kind(
        "forecasting --architecture gru --model.units [8] --season 24 --batch_size 256",
        synthetic.series,
    ),
    "labels": Kind(
        "token_classification --architecture bilstm --model.units [8] --model.embedding 8 "
        "--batch_size 256",
        synthetic.labels,
    ),
    "questions": Kind(
        "question_answering --architecture bidaf --model.units 8 --batch_size 64",
        synthetic.questions,
    ),
    "sentences": Kind(
        "bert_pretraining --encoder= --architecture bert_tiny --model.layers 1 --model.width 16 "
        "--model.heads 2 --model.feed_forward 16 --batch_size 256 --max_length 64",
        synthetic.sentences,
    ),
}
