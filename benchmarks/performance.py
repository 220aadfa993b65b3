"""The page docs/performance.md: the newest table of each benchmark, from the tracking store."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import mlflow
from mlflow.entities import Run

from benchmarks import BENCHMARKS, report
from pipelines import store, store_errors

# The defaults of pipelines have a page of their own.
_SHOWN = tuple(name for name in BENCHMARKS if name not in ("all", "defaults"))
_MACHINE = ("processor", "cpus", "memory_gib", "platform", "python", "tensorflow", "mlflow")
_HEAD = """# Performance

Written by `python -m benchmarks all`: the newest table of each benchmark in the tracking store. Our
code and its reference take turns in one run, so what counts are the ratios: `ratio` is the
reference's cost over ours, 1 is as good and 2 is twice as good, the median of the rounds, with the
lowest and the highest of them. Rates and times depend on the machine, and on what else it does.
"""


def write(file: Path) -> None:
    """Writes the page as a whole.

    Raises:
        UserError: The tracking store cannot be used.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with store_errors.explained(store.tracking_uri()):
        store.open_store(create=False)
        text = page(newest())
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, file)


def newest() -> dict[str, Run]:
    """Returns the newest finished run of each benchmark that has a table."""
    runs = mlflow.search_runs(
        experiment_names=["benchmarks"],
        filter_string="attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        output_format="list",
    )
    found: dict[str, Run] = {}
    for run in runs:
        assert isinstance(run, Run)
        if report.COMMAND in run.data.tags:
            found.setdefault(run.info.run_name, run)
    return {name: found[name] for name in _SHOWN if name in found}


def page(runs: Mapping[str, Run]) -> str:
    """Returns the page; `runs` by the benchmark's name."""
    return "\n".join([_HEAD, *_sections(runs)])


def _sections(runs: Mapping[str, Run]) -> Iterator[str]:
    machine = ""
    for name, run in runs.items():
        params, tags = run.data.params, run.data.tags
        yield f"## {name}\n"
        yield f"{_sentence(BENCHMARKS[name])}\n"
        day = datetime.fromtimestamp(run.info.start_time / 1000).strftime("%Y-%m-%d")
        commit = tags.get("code.commit", "")[:10] or "unknown"
        changed = ", changed" if tags.get("code.changed") == "True" else ""
        yield f"`{tags[report.COMMAND]}`, {day}, commit {commit}{changed}.\n"
        described = ", ".join(f"{key} {params[key]}" for key in _MACHINE if key in params)
        if described != machine:  # Only a benchmark that ran elsewhere repeats it.
            yield f"Machine: {described}.\n"
            machine = described
        yield mlflow.artifacts.load_text(f"{run.info.artifact_uri}/{report.TABLE}")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
