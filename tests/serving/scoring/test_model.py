"""The model that a name means."""

from __future__ import annotations

import contextlib
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import RolloutError, UserError
from serving.rollout import model_repository, models_config
from serving.rollout.model_registry import DIGEST
from serving.rollout.model_repository import Repository
from serving.rollout.models_config import Entry
from serving.scoring import model
from tests.serving import rollouts
from tests.serving.damage import damaged


@pytest.fixture
def repository(saved, tmp_path):
    """half_plus_two in the versions 1 (stable) and 3 (canary), and 2 without a label."""
    found = Repository(tmp_path / "models")
    for number in (1, 2, 3):
        shutil.copytree(saved / "half_plus_two", found.version("half_plus_two", number))
    entry = Entry.of({"stable": 1, "canary": 3})
    base = str(found.path / "half_plus_two")
    found.write_config(models_config.changed(found.config(), "half_plus_two", base, entry))
    return found


def test_a_repository_has_labels_and_versions(repository, tmp_path):
    for chosen, number in (({}, 1), ({"label": "canary"}, 3), ({"version": 2}, 2)):
        found = model.find("half_plus_two", repository, tmp_path / "cache", **chosen)
        assert (found.name, found.version) == ("half_plus_two", str(number))
        assert found.source == str(found.folder) == str(repository.version("half_plus_two", number))
    assert str(found) == "half_plus_two version 2"


def test_a_folder_is_a_model_of_its_own(saved, tmp_path):
    found = model.find(str(saved / "echo"), Repository(tmp_path), tmp_path / "cache")
    assert (str(found), found.version, found.folder) == ("echo", "", saved / "echo")


def test_the_registry_has_versions_and_aliases(saved, tmp_path, monkeypatch):
    import mlflow

    uri = rollouts.store_of(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for name in ("half_plus_two", "echo"):
        rollouts.register(uri, tmp_path, saved / name)
    mlflow.MlflowClient(uri, uri).set_registered_model_alias("digits", "champion", "2")
    cache = tmp_path / "cache"
    champion = model.find("models:/digits@champion", Repository(tmp_path), cache)
    assert (str(champion), champion.source) == ("digits version 2", "models:/digits/2")
    assert list(model.signatures(champion.folder)["serving_default"].inputs) == ["text"]
    first = model.find("models:/digits/1", Repository(tmp_path), cache)
    assert list(model.signatures(first.folder)["serving_default"].inputs) == ["x"]
    assert cache in first.folder.parents
    with pytest.raises(UserError, match=r"no model 'digits' with alias 'challenger'"):
        model.find("models:/digits@challenger", Repository(tmp_path), cache)
    mlflow.MlflowClient(uri, uri).set_model_version_tag("digits", "2", DIGEST, "0" * 64)
    with pytest.raises(RolloutError, match="files of digits version 2 are not those"):
        model.find("models:/digits@champion", Repository(tmp_path), cache)
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


def test_a_deployed_version_is_the_one_that_was_deployed(repository, tmp_path):
    folder = repository.version("half_plus_two", 1)
    model_repository.write_record(folder, {"digest": model_repository.digest(folder)})
    assert model.find("half_plus_two", repository, tmp_path / "cache").version == "1"
    (folder / "assets.extra" / "one-more").write_text("file")
    with pytest.raises(RolloutError, match="files of half_plus_two version 1 are not those"):
        model.find("half_plus_two", repository, tmp_path / "cache")


def test_unsafe_ops_have_to_be_allowed_wherever_a_model_comes_from(
    repository, saved, tmp_path, monkeypatch
):
    monkeypatch.setattr("serving.rollout.admission.unsafe_ops", lambda _: ("ReadFile",))
    for named in ("half_plus_two", str(saved / "half_plus_two")):
        with pytest.raises(UserError, match=r"half_plus_two.* --allow_ops ReadFile$"):
            model.find(named, repository, tmp_path / "cache")
        assert model.find(named, repository, tmp_path / "cache", allowed_ops=["ReadFile"])


@pytest.mark.parametrize(
    ("named", "options", "said"),
    [
        ("half_plus_two", {"label": "no"}, "no label no in .*, only canary 3, stable 1"),
        ("half_plus_two", {"version": 4}, "version 4 is not in .*, only 1, 2, 3"),
        ("other", {}, "there is no model other in .*, only half_plus_two, and no SavedModel"),
        ("models:/digits", {}, "is models:/NAME@ALIAS or models:/NAME/VERSION, not models:/digits"),
        ("models:/digits/1", {"version": 1}, "names a version already; leave out --version"),
    ],
)
def test_what_is_not_there_is_said(repository, tmp_path, named, options, said):
    with pytest.raises(UserError, match=said):
        model.find(named, repository, tmp_path / "cache", **options)


def test_signatures_are_read_without_tensorflow(saved, tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    found = model.signatures(saved / "sum_and_difference")
    original = saved_model_pb2.SavedModel.FromString(
        (saved / "sum_and_difference" / "saved_model.pb").read_bytes()
    )
    definitions = original.meta_graphs[0].signature_def
    assert set(found) == {"serving_default", "only_sum"}
    for key, signature in found.items():
        assert {name: info.name for name, info in signature.inputs.items()} == {
            name: info.name for name, info in definitions[key].inputs.items()
        }
        assert signature.method_name == definitions[key].method_name
    (tmp_path / "saved_model.pb").write_bytes(b"\xff")
    with pytest.raises(UserError, match="no readable SavedModel"):
        model.signatures(tmp_path)


@settings(max_examples=30)
@given(data=st.data())
def test_signatures_of_a_damaged_file_are_read_or_refused(saved, tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    content = data.draw(damaged((saved / "sum_and_difference" / "saved_model.pb").read_bytes()))
    (folder / "saved_model.pb").write_bytes(content)
    with contextlib.suppress(UserError):
        assert model.signatures(folder)
