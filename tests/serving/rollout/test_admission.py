"""Which SavedModels may be run."""

from __future__ import annotations

import shutil

import pytest

from serving.errors import RolloutError, UserError
from serving.rollout import model_repository
from serving.rollout.admission import admit
from tests.serving import saved_models


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved_models.half_plus_two(tmp_path_factory.mktemp("admission") / "half_plus_two")


def test_files_must_have_the_digest_that_is_on_record(model, tmp_path):
    digest = model_repository.digest(model)
    assert admit(model, "half", digest=digest) == admit(model, "half", digest=None) == digest
    changed = shutil.copytree(model, tmp_path / "changed")
    (changed / "assets.extra").mkdir()
    (changed / "assets.extra" / "one-more").write_text("file")
    with pytest.raises(RolloutError) as raised:
        admit(changed, "half version 2", digest=digest)
    assert str(raised.value) == (
        "the files of half version 2 are not those that were registered: they have changed since"
    )


def test_unsafe_ops_have_to_be_allowed_one_by_one(model, monkeypatch):
    monkeypatch.setattr("serving.rollout.admission.unsafe_ops", lambda _: ("PyFunc", "ReadFile"))
    with pytest.raises(UserError) as raised:
        admit(model, "half", digest=None, allowed_ops=("PrintV2",))
    assert str(raised.value) == (
        "half can reach files, Python or the network by the ops PyFunc, ReadFile; if you trust it: "
        "--allow_ops PyFunc,ReadFile"
    )
    with pytest.raises(UserError, match=r"by the ops PyFunc; if you trust it: --allow_ops PyFunc$"):
        admit(model, "half", digest=None, allowed_ops=("ReadFile",))
    assert admit(model, "half", digest=None, allowed_ops=("ReadFile", "PyFunc"))


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff" * 9, "saved_model.pb is not a SavedModel"), (None, "No such file or directory")],
)
def test_what_is_no_saved_model_is_refused(content, said, tmp_path):
    if content:
        (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(RolloutError, match=rf"^half cannot be used: .*{said}"):
        admit(tmp_path, "half", digest=None)
