"""Promote, roll back, undeploy against a server in this process: which version answers."""

from __future__ import annotations

import pytest

from serving.client import Client
from serving.errors import ServingError, UserError
from serving.rollout import promote
from serving.rollout.model_registry import Registry
from serving.rollout.models_config import Entry
from tests.serving.rollout.sites import ANSWERS, X
from tests.serving.rollouts import NAME

pytestmark = pytest.mark.xdist_group("registry")  # Creating the database takes seconds.


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
    # Whoever only wants to end the canary learns that this would take the stable version, too.
    with pytest.raises(
        UserError, match="digits version 2 is canary, version 1 is stable; give --version for one"
    ):
        promote.undeploy(site.target, NAME)
    assert site.available() == {1, 2}
    assert promote.undeploy(site.target, NAME, version=2, force=True) == [2]
    assert (site.available(), site.files.versions(NAME)) == ({1}, [1])
    with pytest.raises(UserError, match="there is no digits version 2 in "):
        promote.undeploy(site.target, NAME, version=2)
    assert promote.undeploy(site.target, NAME, force=True) == [1]
    assert site.available() == set()
    assert sorted(path.name for path in site.files.path.iterdir()) == [".lock", "models.config"]


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
