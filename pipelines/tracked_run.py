"""The MLflow run of a pipeline's run: what it records."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import mlflow
import yaml
from matplotlib.figure import Figure
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset

from architectures.summary import summary
from pipelines import figures, metric_names, mlproject, store, style
from pipelines.baselines import Baseline
from pipelines.config import Config
from pipelines.datasets.checks import Checks
from pipelines.datasets.dataset import Dataset
from pipelines.environment import code_version, environment
from pipelines.errors import UnsentError, UserError
from pipelines.mirror import Mirror
from pipelines.outbox import Outbox
from pipelines.task import Network
from pipelines.training.checkpoints import Checkpoints

_SUMMARY_WIDTH = 100
# Seconds to wait at the end of a run for a server that is away.
_WAIT = 120.0


class TrackedRun:
    """The active MLflow run; one method for each thing that it records.

    Attributes:
        id: Its ID.
        experiment_id: That of its experiment.
        store: The tracking URI, without a password.
        checkpoints: Those of its training.
        trained: Whether an epoch has ended.
        resumed: How often the run was resumed.
        children: Runs within it that are resumed with it.
        strongest: The baseline that learning curves are compared with, once it is known.
    """

    def __init__(
        self,
        active: mlflow.entities.Run,
        uri: str,
        *,
        figures: bool = True,
        resumed: int = 0,
        warn: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.id: str = active.info.run_id
        self.experiment_id: str = active.info.experiment_id
        self.store, self.resumed, self.trained = store.shown(uri), resumed, resumed > 0
        self.children: list[TrackedRun] = []
        self.strongest: Baseline | None = None
        self._figures, self._client = figures, mlflow.MlflowClient()
        self._params, self._logged = dict(active.data.params), dict[str, set[int]]()
        local = store.local_folder(active.info.artifact_uri)
        unsent = None if uri.startswith("sqlite") else store.state_folder("unsent", self.id)
        self.outbox = Outbox(self.id, unsent)
        self.checkpoints = Checkpoints(
            local / "checkpoint" if local else store.state_folder("checkpoints", self.id),
            mirror=None if local else Mirror(self.id, active.info.artifact_uri),
            warn=warn,
        )

    @property
    def uri(self) -> str:
        return f"runs:/{self.id}"

    @property
    def page(self) -> str:
        """Path of its page in MLflow's UI."""
        return f"/#/experiments/{self.experiment_id}/runs/{self.id}"

    def config(self, pipeline: str, config: Config) -> None:
        """Logs the config with its tags and note, the code version and the environment."""
        labels = {store.NOTE: config.note, "mlflow.runName": config.run_name}
        tags: dict[str, Any] = config.tags | {key: text for key, text in labels.items() if text}
        commit, changes = code_version()
        if not self.resumed:
            named = {**mlproject.aliases(config), **config.hyperparameters()}
            self._log_params({"pipeline": pipeline, **named})
            self._text(yaml.safe_dump(config.options(), sort_keys=False), "config.yaml")
            if changes:
                self._text(changes, "uncommitted.diff")
            self._text(json.dumps(environment(), indent=2), "environment.json")
            tags |= {"code.commit": commit, "code.changed": bool(changes)}
        self.outbox.log(tags=tags)

    def _log_params(self, values: Mapping[str, Any]) -> None:
        # `mlflow run -P` has logged its own; MLflow rejects another spelling of the same number.
        new = {key: value for key, value in values.items() if key not in self._params}
        self._params |= new
        self.outbox.log(params=new)

    def _log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Logs metrics, but those that a resumed run has logged at this step before."""
        if self.resumed:
            values = {key: value for key, value in values.items() if step not in self._steps(key)}
        self.outbox.log(metrics=values, step=step)

    def _steps(self, key: str) -> set[int]:
        """Returns the steps at which a metric was logged before the run was resumed."""
        if key not in self._logged:
            history = self._client.get_metric_history(self.id, key)
            self._logged[key] = {metric.step for metric in history}
        return self._logged[key]

    def _text(self, text: str, path: str) -> None:
        """Logs a text as an artifact."""
        folder, _, name = path.rpartition("/")
        self.outbox.files(
            lambda scratch: (scratch / name).write_text(text, encoding="utf-8"), folder or None
        )

    def data(self, data: Dataset, checks: Checks) -> None:
        """Logs name, version, digest, split sizes and checks of the data set.

        Raises:
            UserError: The run is resumed, and the data set has changed since it began.
        """
        if self._params.get("data.digest", data.digest) != data.digest:
            raise UserError(
                f"the data set {data.name} has changed since run {self.id} began: its digest is "
                f"{data.digest}, not {self._params['data.digest']}; start a new run"
            )
        if self.resumed and "data.digest" in self._params:
            return
        self._text(checks.markdown(), "data_checks.md")
        self._log_params(
            {"data.version": data.version, "data.digest": data.digest}
            | {f"data.{split}": size for split, size in data.sizes.items()}
        )
        for split in data.sizes:
            source = CodeDatasetSource({"tfds": f"{data.name}:{data.version}", "split": split})
            name = f"{data.name}/{split}"  # One name for all would show as one data set.
            self.outbox.dataset(MetaDataset(source, name, data.digest), split)  # type: ignore[abstract]

    def model(self, network: Network, *, device: str) -> None:
        """Logs the network's summary, size and hyperparameters, and what it is trained on."""
        self._text(summary(network.model, _SUMMARY_WIDTH), "model_summary.txt")
        self.outbox.log(tags={"device": device, "engine": keras.config.backend()})
        values = {"model_parameters": network.model.count_params(), "device": device}
        hyperparameters = network.hyperparameters.items()
        self._log_params(values | {f"model.{key}": value for key, value in hyperparameters})

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Logs the values of one epoch as `train/NAME`."""
        self._log_metrics({metric_names.training(name): x for name, x in values.items()}, step)
        self.trained = True

    def samples(self, text: str, step: int) -> None:
        """Logs the text that the network generated after an epoch."""
        self._text(text, f"samples/epoch_{step:03d}.txt")

    def history(
        self,
        history: Mapping[str, Sequence[float]],
        *,
        kept: int | None = None,
        better: Mapping[str, bool] | None = None,
    ) -> None:
        """Logs the learning curves as a figure, if there are to be figures."""
        if self._figures:
            figure = figures.learning_curves(
                history, kept=kept, better=better, baseline=self.strongest
            )
            self.figure("learning_curves", figure)

    def steps(self, values: Mapping[int, Mapping[str, float]]) -> None:
        """Logs metrics of several steps of training at once."""
        if self.resumed:
            values = {
                step: {key: x for key, x in of_step.items() if step not in self._steps(key)}
                for step, of_step in values.items()
            }
        self.outbox.series(values)

    def diagnosis(self, patterns: Sequence[str], report: str, table: str) -> None:
        """Logs recognized patterns as the tag `diagnosis`, the report and all values as files."""
        self.outbox.log(tags={"diagnosis": ", ".join(patterns) or "nothing recognized"})
        self._text(report, "diagnosis/diagnosis.md")
        self._text(table, "diagnosis/values.csv")

    def results(
        self,
        compared: str,
        metrics: Mapping[str, float],
        interval: tuple[float, float] | None,
        strongest: Baseline,
        baselines: Sequence[Baseline],
        deviations: Mapping[str, float] | None = None,
    ) -> None:
        """Logs scores, and the interval, baseline and margin of the one that is compared.

        So that a page shows few metrics at a glance. The deviations are those of scores over
        several seeds. The baseline is the strongest one; all scores of all of them are in
        `baselines.json`, and the intervals of all in the model card.
        """
        part, values = metric_names.part, dict(metrics)
        for split, scores in (("validation", strongest.validation), ("test", strongest.test)):
            score = metric_names.score(split, compared)
            values[part(score, "baseline")] = scores[compared]
            values[part(score, "margin")] = metrics[score] - scores[compared]
        values |= _ends(compared, "interval", interval)
        values |= {part(name, "deviation"): value for name, value in (deviations or {}).items()}
        self._log_metrics(values)
        self.outbox.log(tags={"baseline": strongest.name})
        every = {
            baseline.name: {"validation": baseline.validation, "test": baseline.test}
            for baseline in baselines
        }
        self._text(json.dumps(every, indent=2, default=float), "baselines.json")

    def margin(self, compared: str, interval: tuple[float, float] | None) -> None:
        """Logs the interval of a score on test less that of the strongest baseline."""
        self._log_metrics(_ends(compared, "margin", interval))

    def scores(self, baseline: Baseline) -> None:
        """Logs scores on validation and test."""
        for split, scores in (("validation", baseline.validation), ("test", baseline.test)):
            self._log_metrics({metric_names.score(split, name): x for name, x in scores.items()})

    def evaluation(self, scores: Mapping[str, float]) -> None:
        """Logs scores by the names of metrics, where nothing is compared with them."""
        self._log_metrics(scores)

    def timings(self, values: Mapping[str, float]) -> None:
        """Logs how long something takes, under names that say of what and the unit."""
        self._log_metrics(values)

    def comparable(self, record: Mapping[str, Any]) -> None:
        """Logs what a comparison with other runs takes from this one."""
        self._text(json.dumps(record, indent=2, default=float), store.COMPARABLE)

    def tags(self, values: Mapping[str, str]) -> None:
        """Sets tags of the run."""
        self.outbox.log(tags=values)

    def figure(self, name: str, figure: Figure) -> bytes:
        """Logs a figure as `figures/NAME.png`, and returns the content of that file."""
        content = style.png(figure)
        self.outbox.files(lambda folder: (folder / f"{name}.png").write_bytes(content), "figures")
        return content

    def folder(self, folder: Path) -> None:
        """Logs a folder under its own name."""
        self.outbox.files(lambda scratch: _link(folder, scratch), folder.name)

    def validation(self, report: Mapping[str, Any]) -> None:
        """Logs the validation report: ops used and largest differences."""
        self._text(json.dumps(report, indent=2), "validation.json")

    def card(self, summary: str, documents: Mapping[str, str]) -> None:
        """Logs the model card's files; its summary describes the run, unless a note does."""
        for name, text in documents.items():
            self._text(text, name)
        if not mlflow.get_run(self.id).data.tags.get(store.NOTE):
            self.outbox.log(tags={store.NOTE: summary})

    def sent(self) -> None:
        """Waits for what was logged to be sent to a server that is away.

        Raises:
            UnsentError: The server stays away for too long.
        """
        if not self.outbox.drain(_WAIT):
            raise UnsentError(
                f"the tracking server {self.store} has not answered for {_WAIT:.0f} seconds; what "
                f"it did not get is kept in {self.outbox.folder} and sent when the run is resumed"
            )


def _ends(
    name: str, kind: metric_names.Part, interval: tuple[float, float] | None
) -> dict[str, float]:
    """Returns the ends of an interval on test as metrics."""
    names = metric_names.bounds(metric_names.part(metric_names.score("test", name), kind))
    return dict(zip(names, interval, strict=True)) if interval else {}


def _link(source: Path, folder: Path) -> None:
    """Puts the files of a folder into another one, as links where that can be."""
    shutil.copytree(source, folder, dirs_exist_ok=True, copy_function=_link_file)


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
