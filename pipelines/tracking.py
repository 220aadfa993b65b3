"""MLflow tracking: what a run records."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow
import psutil
from matplotlib.figure import Figure
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric
from sqlalchemy.exc import SQLAlchemyError

from architectures.summary import summary
from pipelines import figures, store
from pipelines.baselines import Baseline
from pipelines.config import Config
from pipelines.datasets.checks import Checks
from pipelines.datasets.dataset import Dataset
from pipelines.errors import UserError
from pipelines.task import Network

_SUMMARY_WIDTH = 100
# Metrics that MLflow takes in one request.
_BATCH = 1000


class TrackedRun:
    """The active MLflow run; one method for each thing that it records.

    Attributes:
        trained: Whether an epoch has ended.
    """

    def __init__(self, active: mlflow.ActiveRun, uri: str, *, figures: bool = True) -> None:
        self.id: str = active.info.run_id
        self.experiment_id: str = active.info.experiment_id
        self.store = uri
        self.trained = False
        self._figures = figures

    @property
    def uri(self) -> str:
        return f"runs:/{self.id}"

    def config(self, pipeline: str, config: Config) -> None:
        """Logs the config with its tags and note, the code version and the environment."""
        values = {"pipeline": pipeline, **config.hyperparameters()}
        self._params(values)
        labels = {"mlflow.note.content": config.note, "mlflow.runName": config.run_name}
        mlflow.set_tags(config.tags | {key: text for key, text in labels.items() if text})
        mlflow.log_dict(config.options(), "config.yaml")
        mlflow.set_tag("pipeline", pipeline)
        commit, changes = code_version()
        mlflow.set_tags({"code.commit": commit, "code.changed": bool(changes)})
        if changes:
            mlflow.log_text(changes, "uncommitted.diff")
        mlflow.log_dict(_environment(), "environment.json")

    def _params(self, values: Mapping[str, Any]) -> None:
        # `mlflow run -P` has logged its own; MLflow rejects another spelling of the same number.
        known = mlflow.get_run(self.id).data.params
        mlflow.log_params({key: value for key, value in values.items() if key not in known})

    def data(self, data: Dataset, checks: Checks) -> None:
        """Logs name, version, digest, split sizes and checks of the data set."""
        mlflow.log_text(checks.markdown(), "data_checks.md")
        mlflow.log_params(
            {"data.version": data.version, "data.digest": data.digest}
            | {f"data.{split}": size for split, size in data.sizes.items()}
        )
        for split in data.sizes:
            source = CodeDatasetSource({"tfds": f"{data.name}:{data.version}", "split": split})
            name = f"{data.name}/{split}"  # One name for all would show as one data set.
            dataset = MetaDataset(source, name, data.digest)  # type: ignore[abstract]
            mlflow.log_input(dataset, context=split)

    def model(self, network: Network, *, device: str) -> None:
        """Logs the network's summary, size and hyperparameters, and what it is trained on."""
        mlflow.log_text(summary(network.model, _SUMMARY_WIDTH), "model_summary.txt")
        mlflow.log_params({"model_parameters": network.model.count_params(), "device": device})
        self._params({f"model.{key}": value for key, value in network.hyperparameters.items()})

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Logs the values of one epoch."""
        mlflow.log_metrics(dict(values), step=step)
        self.trained = True

    def samples(self, text: str, step: int) -> None:
        """Logs the text that the network generated after an epoch."""
        mlflow.log_text(text, f"samples/epoch_{step:03d}.txt")

    def history(self, history: Mapping[str, Sequence[float]]) -> None:
        """Logs the learning curves as a figure, if there are to be figures."""
        if self._figures:
            self.figure("learning_curves", figures.learning_curves(history))

    def steps(self, values: Mapping[int, Mapping[str, float]]) -> None:
        """Logs metrics of several steps of training at once."""
        now = int(time.time() * 1000)
        metrics = [
            Metric(name, value, now, step)
            for step, of_step in values.items()
            for name, value in of_step.items()
        ]
        for start in range(0, len(metrics), _BATCH):
            mlflow.MlflowClient().log_batch(self.id, metrics[start : start + _BATCH])

    def diagnosis(self, patterns: Sequence[str], report: str, table: str) -> None:
        """Logs recognized patterns as the tag `diagnosis`, the report and all values as files."""
        mlflow.set_tag("diagnosis", ", ".join(patterns) or "nothing recognized")
        mlflow.log_text(report, "diagnosis/diagnosis.md")
        mlflow.log_text(table, "diagnosis/values.csv")

    def results(
        self,
        metrics: Mapping[str, float],
        intervals: Mapping[str, tuple[float, float]],
        strongest: Baseline,
        baselines: Sequence[Baseline],
        deviations: Mapping[str, float] | None = None,
    ) -> None:
        """Logs scores with their intervals, the baselines' scores, and the margins between them.

        The deviations of scores over several seeds are `SPLIT_NAME_deviation`.

        The strongest baseline's scores are `baseline_SPLIT_NAME`; those of all are in
        `baselines.json`.
        """
        values = dict(metrics)
        values |= {f"{name}_deviation": value for name, value in (deviations or {}).items()}
        for name, (low, high) in intervals.items():
            values |= {f"test_{name}_low": low, f"test_{name}_high": high}
        for split, scores in (("validation", strongest.validation), ("test", strongest.test)):
            for name, score in scores.items():
                values[f"baseline_{split}_{name}"] = score
                values[f"margin_{split}_{name}"] = metrics[f"{split}_{name}"] - score
        mlflow.log_metrics(values)
        mlflow.set_tag("baseline", strongest.name)
        every = {
            baseline.name: {"validation": baseline.validation, "test": baseline.test}
            for baseline in baselines
        }
        mlflow.log_dict(every, "baselines.json")

    def scores(self, baseline: Baseline) -> None:
        """Logs scores on validation and test."""
        for split, scores in (("validation", baseline.validation), ("test", baseline.test)):
            mlflow.log_metrics({f"{split}_{name}": score for name, score in scores.items()})

    def evaluation(self, scores: Mapping[str, float]) -> None:
        """Logs scores as `validation_NAME` and `test_NAME`, where nothing is compared with them."""
        mlflow.log_metrics(dict(scores))

    def comparable(self, record: Mapping[str, Any]) -> None:
        """Logs what a comparison with other runs takes from this one."""
        mlflow.log_dict(dict(record), store.COMPARABLE)

    def tags(self, values: Mapping[str, str]) -> None:
        """Sets tags of the run."""
        mlflow.set_tags(dict(values))

    def figure(self, name: str, figure: Figure) -> None:
        """Logs a figure as `figures/NAME.png`."""
        mlflow.log_figure(figure, f"figures/{name}.png", save_kwargs={"dpi": 120})

    def folder(self, folder: Path) -> None:
        """Logs a folder under its own name."""
        mlflow.log_artifacts(str(folder), folder.name)

    def validation(self, report: Mapping[str, Any]) -> None:
        """Logs the validation report: ops used and largest differences."""
        mlflow.log_text(json.dumps(report, indent=2), "validation.json")


@contextmanager
def run(pipeline: str, config: Config) -> Iterator[TrackedRun]:
    """Runs its body inside an MLflow run, joining the one that `mlflow run` has started.

    Inside the body of another run it becomes a child of that run. It ends FINISHED, KILLED after
    Ctrl-C, or FAILED after any other exception; the exception propagates, and the tag `failure`
    gives the reason. A run that ends with a `UserError` before anything was trained is deleted,
    unless `mlflow run` has started it.

    Raises:
        UserError: The tracking store cannot be used.
    """
    uri, joined = store.tracking_uri(), "MLFLOW_RUN_ID" in os.environ
    try:
        store.open_store()
        active = mlflow.start_run(
            experiment_id=store.experiment(pipeline, uri),
            run_name=config.run_name or config.title,
            nested=mlflow.active_run() is not None,
            tags=store.process_tags(),
            log_system_metrics=True,
        )
    except (mlflow.MlflowException, SQLAlchemyError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"the tracking store {uri} cannot be used: {reason}") from error
    tracked = TrackedRun(active, uri, figures=config.figures)
    try:
        tracked.config(pipeline, config)
        yield tracked
    except KeyboardInterrupt:
        mlflow.set_tag("failure", "interrupted")
        mlflow.end_run("KILLED")
        raise
    except BaseException as error:
        mlflow.set_tag("failure", f"{type(error).__name__}: {error}"[:5000])
        mlflow.end_run("FAILED")
        if isinstance(error, UserError) and not (tracked.trained or joined):
            mlflow.delete_run(tracked.id)
        raise
    mlflow.end_run("FINISHED")


def code_version() -> tuple[str, str]:
    """Returns the commit, "unknown" outside a clone, and the uncommitted changes."""
    try:
        import git
    except ImportError:  # What GitPython raises where no git program is installed.
        return "unknown", ""
    try:
        repository = git.Repo(Path(__file__).parent, search_parent_directories=True)
        return repository.head.commit.hexsha, repository.git.diff("HEAD")
    except (git.exc.GitError, ValueError):  # Not a clone, or a clone without a commit.
        return "unknown", ""


def _environment() -> dict[str, Any]:
    # Each access to a distribution's metadata parses its file again.
    installed = [distribution.metadata for distribution in metadata.distributions()]
    packages = {package["Name"]: package["Version"] for package in installed}
    return {
        "python": sys.version,
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "packages": {name: packages[name] for name in sorted(packages, key=str.lower)},
    }
