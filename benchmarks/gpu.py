"""A GPU: training steps, decoding and serving, beside the most that the device can compute.

Steps of ResNet-50, BERT base and GPT-2 small in mixed bfloat16, and greedy decoding with cached
keys and values, run on any of Keras' backends (`KERAS_BACKEND=jax python -m benchmarks gpu`).
Serving, of ResNet-50 and BERT with batching off and on, is TensorFlow's alone.

Floating-point operations are those of the matrix products and convolutions, two for each
multiplication with its addition, three times as many in training as in the forward pass; what is
computed again or padded does not count. Their rate over the device's peak is the model FLOPs
utilization (MFU; Chowdhery et al. 2022, appendix B).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter
from rich.table import Table

from benchmarks import devices, gpu_models, report
from benchmarks.comparison import add_rounds, console, quiet, rounds_of
from benchmarks.experiments import BATCHING_PARAMETERS, Bench
from benchmarks.load import Load
from benchmarks.models import save_all
from benchmarks.processes import isolated
from serving.errors import UserError

if TYPE_CHECKING:
    from benchmarks.gpu_models import Work

_PARTS = ("training", "decoding", "serving")
_STEPS = 10
_CLIENTS = 64
_SERVING_SECONDS = 5.0
_HEADERS = ("", "unit", "rate", "from … to", "ms", "TFLOP/s", "MFU")


@dataclass(frozen=True)
class Rate:
    """How fast something ran.

    Attributes:
        name: What ran.
        unit: What was counted.
        milliseconds: Of a step, a generation or a request, by round.
        per_second: Units a second, by round.
        flops: Floating-point operations a second, in the median round; 0 where not counted.
        peak: The most that the device can do; 0 if it is not known.
    """

    name: str
    unit: str
    milliseconds: Sequence[float]
    per_second: Sequence[float]
    flops: float = 0.0
    peak: float = 0.0

    @property
    def utilization(self) -> float | None:
        """The model FLOPs utilization, where it is known."""
        return self.flops / self.peak if self.flops and self.peak else None

    def record(self) -> dict[str, object]:
        """Returns a row of a table."""
        return {
            "name": self.name,
            "unit": self.unit,
            "rate": float(np.median(self.per_second)),
            "lowest": float(min(self.per_second)),
            "highest": float(max(self.per_second)),
            "ms": float(np.median(self.milliseconds)),
            "teraflops": self.flops / 1e12 or None,
            "mfu": self.utilization,
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    parser.add_argument(
        "--only", nargs="+", choices=_PARTS, default=_PARTS, metavar="NAME", help=", ".join(_PARTS)
    )
    parser.add_argument(
        "--tiny", action="store_true", help="tiny networks, on the CPU too, to try the command"
    )
    parser.add_argument(
        "--peak_tflops",
        type=float,
        default=0.0,
        help="the device's peak in bfloat16, where it is not in the table (default: by its name)",
    )
    add_rounds(parser, "three rounds")


def run(options: argparse.Namespace) -> None:
    """Measures, prints the table and logs the run with MLflow; without a GPU it says so.

    Raises:
        UserError: An option is out of its range, or the tracking store cannot be used.
        ProcessFailedError: A server did not start.
    """
    rounds = rounds_of(options)
    if options.peak_tflops < 0:
        raise UserError(f"--peak_tflops must be positive, not {options.peak_tflops:g}")
    quiet()
    device = devices.gpu()
    if device is None and not options.tiny:
        console.print(
            f"no GPU for the backend {devices.backend()}: nothing was measured; --tiny tries the "
            "command on the CPU",
            soft_wrap=True,
        )
        return
    name = device or "CPU"
    peak = 1e12 * (options.peak_tflops or devices.PEAK_TERAFLOPS.get(name, 0.0))
    found: list[Rate] = []
    for part in options.only:
        if part == "serving" and devices.backend() != "tensorflow":
            console.print(f"serving needs TensorFlow, not {devices.backend()}: left out")
            continue
        for rate in {"training": training, "decoding": decoding, "serving": serving}[part](
            options.tiny, rounds, peak
        ):
            console.print(f"{rate.name}: {np.median(rate.per_second):,.4g} {rate.unit}")
            found.append(rate)
    console.print(table(found))
    chosen = {key: str(value) for key, value in vars(options).items()}
    chosen |= {"device": name, "backend": devices.backend(), "peak": f"{peak / 1e12:g} TFLOP/s"}
    where = {"device": name, "backend": devices.backend()}
    records = [{**rate.record(), **where} for rate in found]
    figures = {"gpu": figure(found, name)} if any(rate.flops for rate in found) else {}
    # Tiny networks say nothing of a GPU, so their run does not count as one of this benchmark.
    run_name = "gpu, tiny" if options.tiny else "gpu"
    logged, store = report.log_tables(run_name, chosen, records, figures)
    console.print(f"run        {logged} in {store}", soft_wrap=True)


def training(tiny: bool, rounds: int, peak: float) -> list[Rate]:
    """Returns the rates of training steps, each on the same batch."""
    found = []
    for name, build in gpu_models.TRAINING.items():
        with console.status(f"{name}, training"):
            work = build(tiny)
            step = gpu_models.training_step(work, compiled=not tiny)
            found.append(_rate(f"{name}, training", work, step, rounds, peak))
    return found


def decoding(tiny: bool, rounds: int, peak: float) -> list[Rate]:
    """Returns the rates of greedy decoding for one text and for many at once."""
    found = []
    for batch in (1, 2) if tiny else (1, 32):
        with console.status(f"decoding {batch}"):
            work, generate = gpu_models.decoding(tiny, batch)
            name = f"GPT-2 small, decoding {batch} at once"
            found.append(_rate(name, work, generate, rounds, peak, calls=1))
    return found


def serving(tiny: bool, rounds: int, peak: float) -> list[Rate]:
    """Returns the rates of requests of one example, with batching off and on."""
    served = gpu_models.served(tiny)
    seconds = 0.2 if tiny else _SERVING_SECONDS
    load = Load(2 if tiny else _CLIENTS, seconds)
    found: list[Rate] = []
    # The servers share the GPU with this process.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    with (
        tempfile.TemporaryDirectory(prefix="foundry-benchmark-") as base,
        isolated(Path(base) / "tensorflow.log") as tensorflow,
        isolated(Path(base) / "loader.log") as loader,
        console.status("serving"),
    ):
        folder = Path(base)
        tensorflow.submit(save_all, served, folder).result()
        bench = Bench(
            folder, tensorflow, loader, seconds, rounds, 2, False, (), lambda row: None, ()
        )
        for model in served:
            with (
                bench.serve(model) as off,
                bench.serve(model, batching=BATCHING_PARAMETERS) as on,
            ):
                both = [server.predict(model, 1) for server in (off, on)]
                for row in bench.compare(model.name, both, load):
                    found.append(
                        Rate(
                            f"{model.name}, {row.system}, {load.callers} clients",
                            "requests/s",
                            [1e3 * float(np.median(each.latencies)) for each in row.rounds],
                            [each.rate for each in row.rounds],
                        )
                    )
    return found


def _rate(
    name: str,
    work: Work,
    function: Callable[[], Any],
    rounds: int,
    peak: float,
    calls: int = _STEPS,
) -> Rate:
    """Times calls of a function that waits for its result, after two that compile."""
    for _ in range(2):
        function()
    seconds = []
    for _ in range(rounds):
        begun = time.perf_counter()
        for _ in range(calls):
            function()
        seconds.append((time.perf_counter() - begun) / calls)
    flops = work.flops / float(np.median(seconds))
    return Rate(
        *(name, work.unit, [1e3 * each for each in seconds]),
        *([work.count / each for each in seconds], flops, peak),
    )


def table(rates: Sequence[Rate]) -> Table:
    """Returns the rates as a table."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in _HEADERS:
        shown.add_column(header, justify="left" if header in ("", "unit") else "right")
    for rate in rates:
        low, high = min(rate.per_second), max(rate.per_second)
        used = rate.utilization
        shown.add_row(
            *(rate.name, rate.unit, f"{np.median(rate.per_second):,.4g}"),
            *(f"{low:,.4g} … {high:,.4g}", f"{np.median(rate.milliseconds):.4g}"),
            f"{rate.flops / 1e12:.3g}" if rate.flops else "",
            f"{used:.1%}" if used is not None else "",
        )
    return shown


def figure(rates: Sequence[Rate], device: str) -> Figure:
    """Plots floating-point operations a second, and the peak where it is known."""
    counted = [rate for rate in rates if rate.flops]
    drawing = Figure(figsize=(8, 1.2 + 0.45 * len(counted)), layout="constrained")
    axes = drawing.subplots()
    axes.barh([rate.name for rate in counted], [rate.flops / 1e12 for rate in counted])
    for peak in {rate.peak for rate in counted if rate.peak}:
        axes.axvline(peak / 1e12, color="tab:orange", label="peak")
        axes.legend(frameon=False)
    axes.invert_yaxis()
    axes.set(title=device, xlabel="TFLOP/s", xscale="log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    return drawing
