"""Deploys against a server in this process: what is validated, recorded and refused."""

from __future__ import annotations

import time
from pathlib import Path

import mlflow
import pytest

from serving.client import Client
from serving.client.traffic import STABLE
from serving.errors import RolloutError, ServingError, UserError
from serving.rollout import model_repository
from serving.rollout.deploy import _earned
from serving.rollout.model_registry import Registered, Registry
from serving.rollout.model_repository import Repository
from serving.rollout.models_config import CANARY, Entry
from serving.rollout.target import RolloutTarget
from tests.serving import rollouts
from tests.serving.rollout.sites import Site, nth_call, snapshot
from tests.serving.rollouts import NAME, FolderRegistry

pytestmark = pytest.mark.xdist_group("registry")  # Creating the database takes seconds.


def test_a_version_without_a_stable_one_beside_it_is_no_canary(site):
    with pytest.raises(UserError, match="digits has no stable version yet, and callers ask for"):
        site.deploy(2, "canary")
    assert site.files.versions(NAME) == []


@pytest.mark.parametrize(
    ("aliases", "labels", "earned"),
    [
        (("champion",), {}, STABLE),
        ((), {}, STABLE),
        (("challenger",), {}, CANARY),
        (("champion", "challenger"), {}, STABLE),
        (("champion",), {STABLE: 1}, CANARY),
        (("challenger",), {STABLE: 1}, CANARY),
        ((), {STABLE: 1, CANARY: 2}, CANARY),
        (("champion",), {STABLE: 2}, STABLE),
        (("challenger",), {STABLE: 2}, STABLE),
    ],
)
def test_version_2_gets_the_label_that_it_has_earned(aliases, labels, earned):
    found = Registered(NAME, 2, "run", "source", "commit", aliases, {})
    assert _earned(found, Entry.of(labels)) == earned


def test_a_better_model_is_a_canary_first_and_now_skips_that(folder_site):
    folder_site.registry.aliases = {2: "champion"}
    assert folder_site.deploy(1, None).label == "stable"
    assert folder_site.deploy(2, None).after == Entry.of({"stable": 1, "canary": 2})
    assert folder_site.version() == 1
    assert folder_site.deploy(2, "stable").after == Entry.of({"stable": 2})
    assert folder_site.version() == 2


def test_a_version_that_the_gate_refused_needs_force_and_is_not_blessed(folder_site):
    folder_site.deploy(1)
    folder_site.registry.refused = {2}
    before = snapshot(folder_site)
    with pytest.raises(UserError) as raised:
        folder_site.deploy(2)
    assert str(raised.value) == (
        "the gate refused digits version 2, as it does not beat the baseline; --force deploys it "
        "all the same"
    )
    assert snapshot(folder_site) == before
    assert folder_site.deploy(2, None, force=True).label == "canary"
    assert set(folder_site.registry.blessed) == {1}


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


def test_files_that_changed_after_their_registration_are_not_deployed(folder_site, exports):
    folder_site.registry.digests = {
        1: model_repository.digest(exports[1]),
        2: model_repository.digest(exports[1]),
    }
    folder_site.deploy(1)
    before = snapshot(folder_site)
    with pytest.raises(RolloutError) as raised:
        folder_site.deploy(2)
    assert str(raised.value) == (
        "the files of digits version 2 are not those that were registered: they have changed since"
    )
    assert snapshot(folder_site) == before


def test_a_model_that_reaches_files_is_deployed_only_if_its_ops_are_allowed(
    folder_site, monkeypatch
):
    monkeypatch.setattr("serving.rollout.admission.unsafe_ops", lambda _: ("PyFunc", "ReadFile"))
    before = snapshot(folder_site)
    with pytest.raises(UserError, match=r"^digits version 1 can reach files"):
        folder_site.deploy(1, allowed_ops=("ReadFile",))
    assert snapshot(folder_site) == before
    assert folder_site.deploy(1, allowed_ops=("PyFunc", "ReadFile")).version == 1


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


def test_a_full_disk_while_downloading_leaves_nothing(site, monkeypatch):
    before = snapshot(site)
    full = OSError(28, "No space left on device")
    with (
        nth_call(monkeypatch, mlflow.artifacts, "download_artifacts", 1, full),
        pytest.raises(RolloutError, match=r"cannot be downloaded: .* No space left on device"),
    ):
        site.deploy(1)
    assert snapshot(site) == before


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        ("saved_model.pb", r"cannot be used: saved_model\.pb is not a SavedModel$"),
        ("variables/variables.data-00000-of-00001", "does not load on in process: "),
    ],
)
def test_a_corrupt_download_is_never_seen(site, monkeypatch, file, fault):
    download = Registry.download

    def cut(self, found, folder: Path) -> Path:
        path = download(self, found, folder)
        (path / file).write_bytes(b"corrupt")
        return path

    site.deploy(1)
    before = snapshot(site)
    monkeypatch.setattr(Registry, "download", cut)
    with pytest.raises(RolloutError, match=f"^digits version 2 {fault}"):
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


def test_a_new_model_that_the_server_cannot_load_is_told_while_it_tries_again(
    exports, tmp_path, monkeypatch
):
    """As TensorFlow Serving does, the server would answer the reload after minutes of attempts."""
    publish = Repository.publish

    def damaged(self, candidate, name, number):
        (candidate / "saved_model.pb").write_bytes(b"corrupt")
        return publish(self, candidate, name, number)

    repository = tmp_path / "models"
    repository.mkdir()
    with (
        rollouts.running(repository, load_retries=5, retry_seconds=60.0) as address,
        Client(address, timeout=20) as client,
    ):
        target = RolloutTarget(Repository(repository), address, wait=60.0)
        site = Site(target, client, rollouts.InProcess(), FolderRegistry(exports))
        with monkeypatch.context() as patched:
            patched.setattr(Repository, "publish", damaged)
            start = time.monotonic()
            with pytest.raises(ServingError) as raised:
                site.deploy(1)
        assert raised.value.message.startswith("the server cannot load digits version 1: ")
        assert time.monotonic() - start < 30
        assert site.entry() == Entry()
        assert site.files.versions(NAME) == []
        assert site.deploy(1).after == Entry.of({"stable": 1}), "no reload stays pending"


def test_a_registry_that_takes_no_tags_is_a_warning(site, monkeypatch):
    refusal = mlflow.MlflowException("no tags today")
    with nth_call(monkeypatch, mlflow.MlflowClient, "set_model_version_tag", 1, refusal):
        done = site.deploy(1)
    assert "does not take the tags of digits version 1: no tags today" in done.unblessed
    assert site.version() == 1
    assert site.deploy(1).unblessed == ""
