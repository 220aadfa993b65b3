"""Rollouts that are killed, refused or late: what is left, and what a server answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import grpc
import pytest

from serving.client import Client
from serving.client.calls import VersionStatus
from serving.errors import RolloutError, ServingError, UserError
from serving.rollout import promote, servers
from serving.rollout.model_repository import Repository
from serving.rollout.models_config import Entry
from serving.rollout.promote import Rollout
from serving.rollout.target import RolloutTarget
from tests.serving import rollouts
from tests.serving.rollout.sites import ANSWERS, Site, X, nth_call, snapshot
from tests.serving.rollouts import NAME


class Killed(BaseException):
    """Ends a rollout as a signal would that no code gets to see."""


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


def test_without_a_server_the_files_get_their_final_state(folder_site):
    alone = replace(folder_site, target=RolloutTarget(folder_site.files))
    alone.target = replace(alone.target, address=None)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(servers, "DEFAULT_ADDRESS", "127.0.0.1:1")
        assert alone.deploy(1).servers == 0
        assert alone.deploy(2, "canary").servers == 0
    assert folder_site.entry() == Entry.of({"stable": 1, "canary": 2})
    assert folder_site.available() == set()
    with rollouts.running(folder_site.files.path) as address, Client(address, timeout=20) as client:
        client.wait_until_ready(NAME, label="canary", timeout=30)
        client.wait_until_ready(NAME, label="stable", timeout=30)
        assert client.predict(NAME, X)["y"].item() == ANSWERS[1]


def test_a_server_of_something_else_is_left_alone(folder_site, monkeypatch):
    monkeypatch.setattr(servers, "DEFAULT_ADDRESS", folder_site.target.address)
    alone = replace(folder_site, target=replace(folder_site.target, address=None))
    assert alone.deploy(1).servers == 0
    assert folder_site.available() == set()
    folder_site.deploy(1)
    assert alone.deploy(2).servers == 1, "now it serves this repository"


def test_an_address_that_was_given_must_answer(folder_site):
    nowhere = replace(folder_site, target=replace(folder_site.target, address="127.0.0.1:1"))
    with pytest.raises(ServingError, match=r"no model server answers at 127\.0\.0\.1:1"):
        nowhere.deploy(1)


def test_a_server_that_was_left_behind_catches_up(folder_site, monkeypatch):
    """Files that were written while it was not told: labels cannot move before versions came."""
    folder_site.deploy(1)
    monkeypatch.setattr(servers, "DEFAULT_ADDRESS", "127.0.0.1:1")
    alone = replace(folder_site, target=replace(folder_site.target, address=None))
    alone.deploy(2)
    assert (folder_site.version(), folder_site.entry()) == (1, Entry.of({"stable": 2}))
    promote.promote(folder_site.target, NAME, version=2)
    assert folder_site.version() == 2
    assert folder_site.available() == {2}


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


def test_nothing_is_deleted_that_a_server_still_uses(folder_site, monkeypatch):
    folder_site.deploy(1)
    late = ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "did not become END in 120 seconds")
    with nth_call(monkeypatch, servers, "wait_until_ended", 1, late), monkeypatch.context() as busy:
        busy.setattr(servers, "states", lambda *_: [VersionStatus(1, "UNLOADING", "")])
        busy.setattr(servers, "notify", lambda *_: None)
        with pytest.raises(ServingError, match="still loaded after 20 seconds, so nothing is del"):
            promote.undeploy(folder_site.target, NAME, force=True)
    assert folder_site.files.versions(NAME) == [1]
    assert promote.undeploy(folder_site.target, NAME) == [1]
    assert folder_site.files.versions(NAME) == []


def test_a_history_that_cannot_be_written_stops_a_deployment_and_no_rollback(
    folder_site, monkeypatch
):
    folder_site.deploy(1)
    folder_site.deploy(2)
    before = snapshot(folder_site)
    denied = OSError(13, "Permission denied")
    with (
        nth_call(monkeypatch, Repository, "write_history", 1, denied),
        pytest.raises(RolloutError, match=r"models cannot be written: .*Permission denied"),
    ):
        folder_site.deploy(3)
    assert snapshot(folder_site) == before
    with nth_call(monkeypatch, Repository, "write_history", 1, denied):
        assert promote.rollback(folder_site.target, NAME).version == 1
    with pytest.raises(UserError, match="no version of digits was stable before version 1"):
        promote.rollback(folder_site.target, NAME)
