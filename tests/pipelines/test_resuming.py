"""`--resume`: which run is meant, and with which options it goes on."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from pipelines import resuming, tracking
from pipelines.__main__ import main
from pipelines.catalog import PIPELINES
from pipelines.config import Config
from pipelines.datasets.checks import Checks
from pipelines.errors import TrainingError, UserError
from pipelines.recipe import Recipe
from tests.pipelines import samples

NAME = "image_classification"
DEFAULTS = PIPELINES[NAME].defaults
CONFIG = replace(DEFAULTS, recipe=replace(DEFAULTS.recipe, epochs=7))


def interrupted(
    pipeline: str = NAME,
    config: Config = CONFIG,
    body: Callable[[tracking.TrackedRun], object] = lambda tracked: None,
) -> str:
    """Returns the ID of a run that was interrupted after a body."""

    def run() -> None:
        with tracking.run(pipeline, config) as tracked:
            ids.append(tracked.id)
            body(tracked)
            raise KeyboardInterrupt

    ids: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run()
    return ids[0]


def given(resume: str, recipe: Recipe = DEFAULTS.recipe, **options) -> Config:
    return replace(DEFAULTS, resume=resume, recipe=recipe, **options)


def test_a_run_goes_on_with_its_own_config(store):
    run_id = interrupted()
    for name in (run_id, f"runs:/{run_id}", "latest"):
        assert resuming.resumed(NAME, given(name)) == replace(CONFIG, resume=run_id)


def test_latest_is_the_last_run_of_the_pipeline_that_is_no_part_of_another(store):
    interrupted()
    parent = interrupted(body=lambda tracked: interrupted())
    interrupted("text_classification", PIPELINES["text_classification"].defaults)
    assert resuming.resumed(NAME, given("latest")).resume == parent


def test_options_that_change_nothing_in_what_is_trained_may_be_changed(store):
    run_id = interrupted()
    chosen = given(
        run_id,
        replace(DEFAULTS.recipe, epochs=7, checkpoint_every=5),
        figures=False,
        note="Again.",
    )
    expected = replace(
        CONFIG,
        resume=run_id,
        figures=False,
        note="Again.",
        recipe=replace(CONFIG.recipe, checkpoint_every=5),
    )
    assert resuming.resumed(NAME, chosen) == expected


def test_other_options_may_not(store):
    run_id = interrupted()
    chosen = given(run_id, replace(DEFAULTS.recipe, epochs=9))
    with pytest.raises(UserError) as raised:
        resuming.resumed(NAME, chosen)
    assert str(raised.value) == (
        f"--epochs cannot be changed by --resume: run {run_id} has 7, not 9; without --resume, a "
        "new run takes it"
    )


def test_what_cannot_be_resumed_is_one_sentence(store):
    with pytest.raises(UserError, match="there is no run of image_classification yet"):
        resuming.resumed(NAME, given("latest"))
    with pytest.raises(UserError, match="--resume must be the ID of a run, runs:/ID or latest"):
        resuming.resumed(NAME, given("nonsense"))
    with tracking.run(NAME, CONFIG) as finished:
        with pytest.raises(UserError, match="still runs, as process"):
            resuming.resumed(NAME, given(finished.id))
        child = interrupted()
    with pytest.raises(UserError, match="has finished: there is nothing left to do"):
        resuming.resumed(NAME, given(finished.id))
    with pytest.raises(UserError, match=f"is a part of run {finished.id}; resume that one"):
        resuming.resumed(NAME, given(child))
    other = interrupted("text_classification", PIPELINES["text_classification"].defaults)
    command = f"python -m pipelines text_classification --resume {other}"
    with pytest.raises(UserError, match=f"another pipeline: {command}$"):
        resuming.resumed(NAME, given(other))
    mlflow.delete_run(other)
    with pytest.raises(UserError, match="was deleted"):
        resuming.resumed(NAME, given(other))


def test_without_a_store_there_is_nothing_to_resume(workplace, capsys):
    assert main([NAME, "--resume", "latest"]) == 2
    assert re.match("error: there is no store .*, so there is no run", capsys.readouterr().err)
    assert list(workplace.iterdir()) == []


def test_a_resumed_run_is_the_same_one_and_logs_no_step_again(store):

    def two_epochs(tracked: tracking.TrackedRun) -> None:
        tracked.metrics({"val_loss": 3.0}, step=1)
        tracked.metrics({"val_loss": 2.0}, step=2)

    run_id = interrupted(body=two_epochs)
    run = mlflow.get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.tags["resume"] == f"python -m pipelines {NAME} --resume {run_id}"
    for again in (1, 2):
        with tracking.run(NAME, resuming.resumed(NAME, given(run_id))) as resumed:
            assert resumed.id == run_id
            run = mlflow.get_run(run_id)
            assert run.info.status == "RUNNING"
            assert run.data.tags["resumed"] == str(again)
            assert not {"failure", "resume"} & run.data.tags.keys()
            for step in (2, 3):
                resumed.metrics({"val_loss": 4.0 - step}, step=step)
            if again == 1:
                # As if the machine had lost its power.
                mlflow.end_run("FAILED")
    history = mlflow.MlflowClient().get_metric_history(run_id, "train/val_loss")
    assert sorted((point.step, point.value) for point in history) == [(1, 3), (2, 2), (3, 1)]
    assert mlflow.get_run(run_id).info.status == "FINISHED"


def test_the_run_that_mlflow_run_has_opened_links_to_the_one_that_goes_on(store, monkeypatch):
    run_id = interrupted()
    experiment = mlflow.get_experiment_by_name(NAME)
    assert experiment is not None
    opened = mlflow.MlflowClient().create_run(experiment.experiment_id).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", opened)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment.experiment_id)
    with tracking.run(NAME, resuming.resumed(NAME, given(run_id))) as tracked:
        assert tracked.id == run_id
    assert mlflow.get_run(run_id).data.tags["resumed_by"] == opened
    link = mlflow.get_run(opened).data
    assert link.tags["resumes"] == run_id
    assert link.tags["mlflow.note.content"] == f"Goes on with run {run_id}."
    assert link.params == {}


def test_a_child_goes_on_with_its_parent(store):
    own = replace(CONFIG, recipe=replace(CONFIG.recipe, seed=5))
    children = []

    def train(parent: tracking.TrackedRun, config: Config) -> None:
        for each in (replace(config, recipe=own.recipe), config):
            with tracking.run(NAME, each, parent=parent) as child:
                children.append(child.id)
                (child.checkpoints.folder).mkdir(exist_ok=True)
                if len(children) == 2:
                    raise TrainingError("no luck")

    with pytest.raises(TrainingError), tracking.run(NAME, CONFIG) as parent:
        train(parent, CONFIG)
    resumed = resuming.resumed(NAME, given(parent.id))
    with tracking.run(NAME, resumed) as again:
        train(again, resumed)
    assert again.id == parent.id
    assert children[:2] == children[2:]
    assert {mlflow.get_run(child).info.status for child in children} == {"FINISHED"}


def test_data_that_has_changed_since_is_refused(store):
    data = samples.striped()
    run_id = interrupted(body=lambda tracked: tracked.data(data, Checks([], [])))
    with (
        pytest.raises(UserError, match="the data set striped has changed since run"),
        tracking.run(NAME, replace(CONFIG, resume=run_id)) as resumed,
    ):
        resumed.data(replace(data, digest="other"), Checks([], []))
    assert mlflow.get_run(run_id).info.lifecycle_stage == "active"


def test_checkpoints_are_among_the_artifacts_of_the_run_until_it_has_finished(store):
    with tracking.run(NAME, CONFIG) as tracked:
        folder = tracked.checkpoints.folder
        run = mlflow.get_run(tracked.id)
        assert folder == Path(run.info.artifact_uri or "") / "checkpoint"
        folder.mkdir()
        (folder / "000001_epoch_1_step_0.npz").write_bytes(b"")
    assert not folder.exists()
