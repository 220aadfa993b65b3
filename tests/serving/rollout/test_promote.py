"""Rollouts against a server in this process: what answers to whom, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import mlflow
import numpy as np
import pytest

from serving.client import Client
from serving.client.calls import VersionStatus
from serving.errors import RolloutError, ServingError, UserError
from serving.rollout import model_repository, models_config, promote, servers
from serving.rollout.deploy import deploy
from serving.rollout.model_registry import Registry
from serving.rollout.model_repository import Repository
from serving.rollout.models_config import Entry
from serving.rollout.promote import Rollout
from serving.rollout.target import RolloutTarget
from tests.serving import rollouts, saved_models
from tests.serving.rollouts import NAME, FolderRegistry, InProcess

pytestmark = pytest.mark.xdist_group("registry")  # Creating the database takes seconds.

X = {"x": np.array([2.0], np.float32)}
# What each version of the model answers to X: 2 * half + two.
ANSWERS = {1: 3.0, 2: 4.0, 3: 5.0}


@pytest.fixture(scope="module")
def exports(tmp_path_factory) -> dict[int, Path]:
    """The SavedModels of the versions 1 to 3 with golden requests."""
    folder = tmp_path_factory.mktemp("exports")
    for number, answer in ANSWERS.items():
        saved = saved_models.half_plus_two(folder / str(number), 0.5, answer - 1)
        rollouts.record_golden(saved, 0.5, answer - 1)
    return {number: folder / str(number) for number in ANSWERS}


@pytest.fixture(scope="module")
def store(tmp_path_factory, exports) -> str:
    """`digits` versions 1 to 3, 4 without golden requests, and 5 with wrong ones."""
    folder = tmp_path_factory.mktemp("store")
    uri = rollouts.store_of(folder)
    for saved in exports.values():
        rollouts.register(uri, folder, saved)
    bare = saved_models.half_plus_two(folder / "bare", 0.5, 5.0)
    rollouts.register(uri, folder, bare)
    wrong = saved_models.half_plus_two(folder / "wrong", 0.5, 5.0)
    rollouts.record_golden(wrong, 0.5, 5.1)
    rollouts.register(uri, folder, wrong)
    return uri


@pytest.fixture(autouse=True)
def workplace(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    yield
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@dataclass
class Site:
    """A repository with a server that serves it, and one engine for all candidates."""

    target: RolloutTarget
    client: Client
    engine: InProcess
    registry: Any

    @property
    def files(self) -> Repository:
        return self.target.repository

    def deploy(self, version: int, label: str = "stable", **options) -> Rollout:
        return deploy(
            self.target,
            self.registry,
            NAME,
            lambda: self.engine,
            version=version,
            label=label,
            **options,
        )

    def answer(self, **options) -> float:
        return float(self.client.predict(NAME, X, **options)["y"].item())

    def version(self, **options) -> int:
        """Returns the version that answers."""
        return next(n for n, answer in ANSWERS.items() if answer == self.answer(**options))

    def entry(self) -> Entry:
        return models_config.entry(self.files.config(), NAME)

    def available(self) -> set[int]:
        states = servers.states(self.client, NAME)
        return {entry.version for entry in states if entry.state == "AVAILABLE"}


@pytest.fixture
def site(tmp_path) -> Iterator[Site]:
    (tmp_path / "models").mkdir()
    with rollouts.running(tmp_path / "models") as address, Client(address, timeout=20) as client:
        target = RolloutTarget(Repository(tmp_path / "models"), address, wait=20.0)
        yield Site(target, client, InProcess(), Registry())


@pytest.fixture
def folder_site(site, exports) -> Site:
    """The same without MLflow, whose database takes most of the time of a rollout."""
    return replace(site, registry=FolderRegistry(exports))


def test_who_answers_in_each_state(site):
    """The table of docs/rollout.md: callers without labels get the highest version."""

    def seen() -> dict[str, object]:
        found: dict[str, object] = {
            "by default": site.version(),
            "no label": site.version(label=""),
        }
        for label in ("stable", "canary"):
            try:
                found[label] = site.version(label=label)
            except ServingError as error:
                found[label] = error.message
        with Client(str(site.target.address), labels={"stable": 1, "canary": 1}) as split:
            answers = {split.predict(NAME, X, key=str(n))["y"].item() for n in range(20)}
        found["split"] = {n for n, answer in ANSWERS.items() if answer in answers}
        return found

    def all_get(version: int) -> dict[str, object]:
        unknown = "Unrecognized servable version label: canary"
        same = dict.fromkeys(("by default", "no label", "stable"), version)
        return {**same, "canary": unknown, "split": {version}}

    site.deploy(1)
    assert seen() == all_get(1)
    site.deploy(2, "canary")
    running = {"by default": 1, "no label": 2, "stable": 1, "canary": 2, "split": {1, 2}}
    assert seen() == running
    promote.promote(site.target, NAME)
    assert seen() == all_get(2)
    assert site.available() == {2}
    promote.rollback(site.target, NAME)
    assert seen() == all_get(1)
    assert site.available() == {1}


def test_a_version_without_a_stable_one_beside_it_is_no_canary(site):
    with pytest.raises(UserError, match="digits has no stable version yet, and callers ask for"):
        site.deploy(2, "canary")
    assert site.files.versions(NAME) == []


def test_stable_cannot_be_promoted_away(site):
    site.deploy(1)
    for label in ("canary", "beta"):
        with pytest.raises(UserError, match="digits would have no stable version, and callers ask"):
            promote.promote(site.target, NAME, label=label, source="stable")
    assert promote.promote(site.target, NAME, label="canary", version=1).after.labels == {
        "stable": 1,
        "canary": 1,
    }


def test_unlabelled_versions_are_not_served_and_stay_for_rolling_back(site):
    for number in (1, 2, 3):
        site.deploy(number)
    assert site.entry() == Entry.of({"stable": 3})
    assert site.files.versions(NAME) == [1, 2, 3]
    assert promote.rollback(site.target, NAME).version == 2
    assert promote.rollback(site.target, NAME).version == 1
    with pytest.raises(UserError, match="no version of digits was stable before version 1"):
        promote.rollback(site.target, NAME)
    assert site.version() == 1
    assert promote.promote(site.target, NAME, version=3).version == 3
    assert promote.rollback(site.target, NAME).version == 1


def test_rolling_back_leaves_a_canary_that_is_another_version(site):
    site.deploy(1)
    site.deploy(2)
    site.deploy(3, "canary")
    done = promote.rollback(site.target, NAME)
    assert done.after == Entry.of({"stable": 1, "canary": 3})
    assert site.available() == {1, 3}


def test_what_has_a_label_is_undeployed_by_force_only(site):
    site.deploy(1)
    site.deploy(2, "canary")
    with pytest.raises(UserError, match="digits version 2 is canary; move the label first, or"):
        promote.undeploy(site.target, NAME, version=2)
    assert promote.undeploy(site.target, NAME, version=2, force=True) == [2]
    assert (site.available(), site.files.versions(NAME)) == ({1}, [1])
    with pytest.raises(UserError, match="there is no digits version 2 in "):
        promote.undeploy(site.target, NAME, version=2)
    assert promote.undeploy(site.target, NAME, force=True) == [1]
    assert site.available() == set()
    assert sorted(path.name for path in site.files.path.iterdir()) == [".lock", "models.config"]


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        (
            4,
            "digits version 4 carries no golden requests, so nothing shows that it answers as it "
            "did at its export; train it again, or give --unverified",
        ),
        (
            5,
            "serving_default/y differs from the golden answer by up to 0.1, where 1e-05 + 1e-05 "
            "of the value is allowed",
        ),
    ],
)
def test_a_candidate_that_fails_its_validation_leaves_nothing(site, version, sentence):
    site.deploy(1)
    before = snapshot(site)
    with pytest.raises((UserError, RolloutError)) as raised:
        site.deploy(version)
    assert str(raised.value) == sentence
    assert snapshot(site) == before
    assert "blessed" not in Registry().find(NAME, version=version).tags


def snapshot(site: Site) -> tuple[set[str], str, set[int], float]:
    """What is in the repository, what is configured, loaded and answered."""
    paths = {p.relative_to(site.files.path).as_posix() for p in site.files.path.rglob("*")}
    config = site.files.config_file
    text = config.read_text() if config.exists() else ""
    return paths - {".lock"}, text, site.available(), site.answer() if text else 0.0


def test_the_latency_budget_is_kept(site):
    before = snapshot(site)
    with pytest.raises(RolloutError, match=r"^serving_default takes .* ms \(median of 5\)"):
        site.deploy(1, budget=1e-6)
    assert snapshot(site) == before


def test_unverified_is_recorded_and_not_blessed(site):
    done = site.deploy(4, unverified=True)
    record = site.files.record(NAME, 4)
    assert record is not None
    assert record["verified"] is False
    assert "blessed" not in Registry().find(NAME, version=4).tags
    with pytest.raises(UserError, match="version 4 was deployed unverified; give --unverified"):
        site.deploy(4)
    assert site.deploy(4, unverified=True).after == done.after


def test_a_served_version_leads_back_to_its_registered_one(site):
    site.deploy(1)
    record = site.files.record(NAME, 1)
    assert record is not None
    assert record["model_uri"] == "models:/digits/1"
    assert record["digest"] == model_repository.digest(site.files.version(NAME, 1))
    assert record["signatures"]["serving_default"] == {
        "inputs": {"x": "float32 [None]"},
        "outputs": {"y": "float32 [None]"},
    }
    assert record["golden"]["requests"] == 2
    tags = Registry().find(NAME, version=1).tags
    assert (tags["blessed"], tags["blessed.engine"]) == ("true", "in process")
    assert tags["blessed.digest"] == record["digest"]


def test_the_candidate_is_alone_and_gone_afterwards(site):
    site.deploy(1)
    (tried,) = site.engine.started
    assert tried.parent.parent == site.files.path
    assert tried.parent.name.startswith(".candidate.")
    assert not tried.exists()


def test_what_is_deployed_already_is_not_tried_again_but_its_damage_is_seen(site):
    site.deploy(1)
    site.deploy(1)
    assert len(site.engine.started) == 1
    (site.files.version(NAME, 1) / "saved_model.pb").write_bytes(b"touched")
    with pytest.raises(UserError, match="cannot be served, as its files are not the ones that"):
        site.deploy(1)


class Killed(BaseException):
    """Ends a rollout as a signal would that no code gets to see."""


@contextmanager
def nth_call(monkeypatch, owner, name: str, number: int, failure: BaseException) -> Iterator[None]:
    """Has the call of that number fail, before anything is done."""
    original, calls = getattr(owner, name), 0

    def called(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == number:
            raise failure
        return original(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, called)
        yield


STEPS: list[tuple[object, str]] = [
    (Repository, "write_config"),
    (Repository, "write_history"),
    (Repository, "publish"),
    (servers, "notify"),
    (servers, "wait_until_ended"),
]
CHANGES: dict[str, Callable[[Site], object]] = {
    "deploy": lambda site: site.deploy(3),
    "promote": lambda site: promote.promote(site.target, NAME),
    "rollback": lambda site: promote.rollback(site.target, NAME),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[name for _, name in STEPS])
def test_killed_anywhere_stable_answers_and_running_it_again_completes_it(
    folder_site, monkeypatch, change, owner, name, number
):
    folder_site.deploy(1)
    folder_site.deploy(2, "canary") if change == "promote" else folder_site.deploy(2)
    old = folder_site.version()
    with nth_call(monkeypatch, owner, name, number, Killed()):
        try:
            CHANGES[change](folder_site)
        except Killed:
            pass
        else:
            return  # It has fewer such steps.
    wanted = {"deploy": 3, "promote": 2, "rollback": 1}[change]
    assert folder_site.version() in (old, wanted)
    entry = folder_site.entry()
    assert set(entry.labels.values()) <= entry.versions
    assert entry.labels["stable"] in (old, wanted)
    with rollouts.running(folder_site.files.path) as address, Client(address, timeout=20) as client:
        answer = client.predict(NAME, X, label="stable")["y"].item()
        assert answer == ANSWERS[entry.labels["stable"]], "a server that starts now answers too"
    if entry.labels["stable"] == wanted and change != "deploy":
        # The label has moved: there is nothing left to promote or to roll back, only to tell.
        promote.promote(folder_site.target, NAME, version=wanted)
    else:
        CHANGES[change](folder_site)
    assert folder_site.version(label="stable") == wanted
    assert folder_site.available() == {wanted} == folder_site.entry().versions
    assert list(folder_site.files.path.glob(".candidate.*")) == []


REFUSAL = ServingError(grpc.StatusCode.FAILED_PRECONDITION, "no")


@pytest.mark.parametrize("failure", [REFUSAL, OSError(28, "No space left on device")])
@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("name", ["notify", "write_config"])
def test_a_server_or_a_disk_that_refuses_leaves_everything_as_it_was(
    folder_site, monkeypatch, failure, number, name
):
    folder_site.deploy(1)
    before = snapshot(folder_site)
    owner = servers if name == "notify" else Repository
    with (
        nth_call(monkeypatch, owner, name, number, failure),
        pytest.raises((ServingError, RolloutError)),
    ):
        folder_site.deploy(2)
    assert snapshot(folder_site) == before
    folder_site.deploy(2)
    assert folder_site.version() == 2


def test_a_full_disk_while_downloading_leaves_nothing(site, monkeypatch):
    before = snapshot(site)
    full = OSError(28, "No space left on device")
    with (
        nth_call(monkeypatch, mlflow.artifacts, "download_artifacts", 1, full),
        pytest.raises(RolloutError, match=r"cannot be downloaded: .* No space left on device"),
    ):
        site.deploy(1)
    assert snapshot(site) == before


@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.data-00000-of-00001"])
def test_a_corrupt_download_is_never_seen(site, monkeypatch, file):
    download = Registry.download

    def cut(self, found, folder: Path) -> Path:
        path = download(self, found, folder)
        (path / file).write_bytes(b"corrupt")
        return path

    site.deploy(1)
    before = snapshot(site)
    monkeypatch.setattr(Registry, "download", cut)
    with pytest.raises(RolloutError, match=r"^digits version 2 does not load on in process: "):
        site.deploy(2)
    assert snapshot(site) == before


def test_a_version_that_the_server_cannot_load_is_taken_back(site, monkeypatch):
    """The engine took it, the server does not: for instance, as it has less memory."""
    site.deploy(1)
    before = snapshot(site)
    publish = Repository.publish

    def damaged(self, candidate, name, number):
        (candidate / "saved_model.pb").write_bytes(b"corrupt")
        return publish(self, candidate, name, number)

    monkeypatch.setattr(Repository, "publish", damaged)
    with pytest.raises(ServingError, match="the server cannot load digits version 2: "):
        site.deploy(2)
    assert snapshot(site) == before


def test_without_a_server_the_files_get_their_final_state(site):
    alone = replace(site, target=RolloutTarget(site.files))
    alone.target = replace(alone.target, address=None)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(servers, "DEFAULT_ADDRESS", "127.0.0.1:1")
        assert alone.deploy(1).servers == 0
        assert alone.deploy(2, "canary").servers == 0
    assert site.entry() == Entry.of({"stable": 1, "canary": 2})
    assert site.available() == set()
    with rollouts.running(site.files.path) as address, Client(address, timeout=20) as client:
        client.wait_until_ready(NAME, label="canary", timeout=30)
        client.wait_until_ready(NAME, label="stable", timeout=30)
        assert client.predict(NAME, X)["y"].item() == ANSWERS[1]


def test_a_server_of_something_else_is_left_alone(site, monkeypatch):
    monkeypatch.setattr(servers, "DEFAULT_ADDRESS", site.target.address)
    alone = replace(site, target=replace(site.target, address=None))
    assert alone.deploy(1).servers == 0
    assert site.available() == set()
    site.deploy(1)
    assert alone.deploy(2).servers == 1, "now it serves this repository"


def test_an_address_that_was_given_must_answer(site):
    nowhere = replace(site, target=replace(site.target, address="127.0.0.1:1"))
    with pytest.raises(ServingError, match=r"no model server answers at 127\.0\.0\.1:1"):
        nowhere.deploy(1)


def test_a_server_that_was_left_behind_catches_up(site, monkeypatch):
    """Files that were written while it was not told: labels cannot move before versions came."""
    site.deploy(1)
    monkeypatch.setattr(servers, "DEFAULT_ADDRESS", "127.0.0.1:1")
    alone = replace(site, target=replace(site.target, address=None))
    alone.deploy(2)
    assert (site.version(), site.entry()) == (1, Entry.of({"stable": 2}))
    promote.promote(site.target, NAME, version=2)
    assert site.version() == 2
    assert site.available() == {2}


@pytest.mark.parametrize("change", CHANGES)
def test_a_version_that_is_not_unloaded_in_time_is_named_and_fails_nothing(
    folder_site, monkeypatch, change
):
    folder_site.deploy(1)
    folder_site.deploy(2, "canary") if change == "promote" else folder_site.deploy(2)
    old, wanted = {"deploy": (2, 3), "promote": (1, 2), "rollback": (2, 1)}[change]
    late = ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "did not become END in 120 seconds")
    busy = [VersionStatus(old, "UNLOADING", "")]
    with nth_call(monkeypatch, servers, "wait_until_ended", 1, late):
        monkeypatch.setattr(servers, "states", lambda *_: busy)
        monkeypatch.setattr(servers, "notify", lambda *_: None)
        done = CHANGES[change](folder_site)
    assert isinstance(done, Rollout)
    assert list(done.loaded) == [old]
    assert folder_site.entry() == Entry.of({"stable": wanted})
    if change == "deploy":
        assert 3 in folder_site.registry.blessed


def test_nothing_is_deleted_that_a_server_still_uses(site, monkeypatch):
    site.deploy(1)
    late = ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "did not become END in 120 seconds")
    with nth_call(monkeypatch, servers, "wait_until_ended", 1, late), monkeypatch.context() as busy:
        busy.setattr(servers, "states", lambda *_: [VersionStatus(1, "UNLOADING", "")])
        busy.setattr(servers, "notify", lambda *_: None)
        with pytest.raises(ServingError, match="still loaded after 20 seconds, so nothing is del"):
            promote.undeploy(site.target, NAME, force=True)
    assert site.files.versions(NAME) == [1]
    assert promote.undeploy(site.target, NAME) == [1]
    assert site.files.versions(NAME) == []


def test_a_history_that_cannot_be_written_stops_a_deployment_and_no_rollback(site, monkeypatch):
    site.deploy(1)
    site.deploy(2)
    before = snapshot(site)
    denied = OSError(13, "Permission denied")
    with (
        nth_call(monkeypatch, Repository, "write_history", 1, denied),
        pytest.raises(RolloutError, match=r"models cannot be written: .*Permission denied"),
    ):
        site.deploy(3)
    assert snapshot(site) == before
    with nth_call(monkeypatch, Repository, "write_history", 1, denied):
        assert promote.rollback(site.target, NAME).version == 1
    with pytest.raises(UserError, match="no version of digits was stable before version 1"):
        promote.rollback(site.target, NAME)


def test_a_registry_that_takes_no_tags_is_a_warning(site, monkeypatch):
    refusal = mlflow.MlflowException("no tags today")
    with nth_call(monkeypatch, mlflow.MlflowClient, "set_model_version_tag", 1, refusal):
        done = site.deploy(1)
    assert "does not take the tags of digits version 1: no tags today" in done.unblessed
    assert site.version() == 1
    assert site.deploy(1).unblessed == ""


def test_aliases_follow_labels(site):
    registry = Registry()
    site.deploy(1)
    for label in ("stable", "canary"):
        registry.follow(NAME, {"stable": 1, "canary": 2}, label)
    assert registry.find(NAME, alias="champion").version == 1
    assert registry.find(NAME, alias="challenger").version == 2
    registry.follow(NAME, {"stable": 3, "canary": 2}, "canary")
    assert registry.find(NAME, alias="champion").version == 1, "stable is not what moved"
    registry.follow(NAME, {"stable": 2}, "stable")
    assert registry.find(NAME, alias="champion").version == 2
    with pytest.raises(UserError):
        registry.find(NAME, alias="challenger")
    with pytest.raises(UserError, match="refuses the aliases"):
        registry.follow("nobody", {"stable": 2}, "stable")
