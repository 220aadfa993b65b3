"""The road of the benchmark, from the command line to MLflow, with a model that costs nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from benchmarks import experiments, serving, systems
from benchmarks.__main__ import main
from benchmarks.experiments import Bench
from benchmarks.load import Load, Sample
from benchmarks.models import HALF_PLUS_TWO, Model
from benchmarks.samples import Row, Served

BATCHING = "max_batch_size { value: 8 } batch_timeout_micros { value: 1000 }"


def small(bench: Bench) -> list[Row]:
    """Every kind of system but MLflow's server, which takes long to start."""
    model = HALF_PLUS_TWO
    with (
        bench.serve(model, batching=BATCHING) as server,
        systems.echo(model, 3, bench.base, bench.loader) as echo,
        bench.real_servers(model) as real,
        bench.mlflow_servers(model, 3) as mlflow_server,
    ):
        assert not real
        assert not mlflow_server
        over_grpc = [server.predict(model, 3), echo]
        alone = systems.in_process(model, 3, bench.base, bench.tensorflow)
        closed = bench.sweep("small", [*over_grpc, server.rest(model, 3), alone], [1, 2])
        return [*closed, *bench.open_loops("small", over_grpc, closed)]


@pytest.fixture
def only_small(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[str, tuple[object, Model]] = {"small": (small, HALF_PLUS_TWO)}
    monkeypatch.setattr(serving, "EXPERIMENTS", known)
    monkeypatch.delenv("TENSORFLOW_MODEL_SERVER", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)


def test_a_run_measures_prints_and_logs(store, only_small, capfd):
    arguments = ["--only", "small", "--seconds", "0.1", "--rounds", "2", "--skip-mlflow"]
    assert main(["serving", *arguments]) == 0
    printed = capfd.readouterr().out
    assert "server, batching, REST" in printed
    assert "no tensorflow_model_server" in printed
    assert "runs:/" in printed

    experiment = mlflow.get_experiment_by_name("benchmarks")
    assert experiment
    (run,) = mlflow.search_runs([experiment.experiment_id], output_format="list")
    assert run.info.status == "FINISHED"
    assert {"cpus", "tensorflow", "seconds"} <= run.data.params.keys()
    assert run.data.metrics["small/grpc_echo/2/requests_per_second"] > 0
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id))
    results = pd.read_csv(folder / "results.csv")
    assert len(results) == 2 * 4 + len(experiments.FRACTIONS) * 2
    assert (results.errors == 0).all()
    assert (results.answers > 0).all()
    assert (results.p50_ms <= results.p99_ms).all()
    own = results[results.system.str.startswith("server")]
    assert (own.runtime_ms > 0).all()
    assert (own.mean_batch >= 3).all()
    assert results[results.system == "gRPC echo"].runtime_ms.isna().all()
    assert {path.stem for path in (folder / "figures").iterdir()} == {
        "latency_against_load",
        "throughput_against_concurrency",
        "batch_sizes",
        "time_split",
    }


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--seconds", "0", "--seconds must be at least 0.1, not 0.0"),
        ("--seconds", "nan", "--seconds must be at least 0.1, not nan"),
        ("--rounds", "0", "--rounds must be at least 1, not 0"),
        ("--workers", "1", "--workers must be at least 2, not 1"),
    ],
)
def test_choices_that_cannot_work_are_refused_in_a_sentence(option, value, text, capsys):
    assert main(["serving", option, value]) == 2
    assert text in capsys.readouterr().err


def test_a_named_program_that_is_not_there_is_refused(monkeypatch, capsys):
    monkeypatch.setenv("TENSORFLOW_MODEL_SERVER", "/no/such/program")
    assert main(["serving"]) == 2
    assert "/no/such/program, which is no program" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--help"], ["serving", "--help"]])
def test_help_names_what_there_is(arguments, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(arguments)
    printed = capsys.readouterr().out
    assert "serving" in printed
    if "serving" in arguments:
        assert all(name in printed for name in serving.EXPERIMENTS)


def test_systems_take_turns_with_seeds_of_their_own(tmp_path):
    asked: list[tuple[str, int, float]] = []

    def system(name: str) -> systems.System:
        def measure(load: Load) -> tuple[Sample, Served]:
            asked.append((name, load.seed, load.seconds))
            return Sample(1.0, np.ones(3)), Served()

        return systems.System(name, measure)

    told: list[Row] = []
    executor = None
    bench = Bench(tmp_path, executor, executor, 2.0, 2, 2, False, [], told.append)  # type: ignore[arg-type]
    rows = bench.compare("e", [system("a"), system("b")], bench.closed(4))
    short = experiments._WARMUP_SECONDS
    assert asked == [
        *(("a", 0, short), ("b", 0, short)),
        *(("a", 0, 2.0), ("b", 0, 2.0)),
        *(("a", 1, 2.0), ("b", 1, 2.0)),
    ]
    assert [len(row.rounds) for row in rows] == [2, 2]
    assert told == rows
