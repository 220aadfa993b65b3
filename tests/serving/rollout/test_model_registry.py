"""The registry as serving sees it: what is found, what is refused, what is downloaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
import yaml
from mlflow.protos.databricks_pb2 import ErrorCode

from serving.errors import RolloutError, UserError
from serving.rollout.deploy import deploy
from serving.rollout.model_registry import Registry
from serving.rollout.model_repository import Repository
from serving.rollout.target import RolloutTarget
from tests.serving import rollouts
from tests.serving.rollouts import InProcess
from tests.serving.saved_models import half_plus_two

pytestmark = pytest.mark.xdist_group("registry")  # Creating the database takes seconds.

KNOWN = (
    "; its versions are: 1, 2 champion, 3; deploy one: python -m serving deploy digits --version 3"
)
ROOT = Path(__file__).resolve().parent.parent.parent.parent


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    """`digits` versions 1, 2 (champion) and 3, of which the last holds no SavedModel."""
    folder = tmp_path_factory.mktemp("store")
    uri = rollouts.store_of(folder)
    saved = half_plus_two(folder / "made")
    rollouts.record_golden(saved, 0.5, 2.0)
    for _ in range(2):
        rollouts.register(uri, folder, saved)
    client = mlflow.MlflowClient(uri, uri)
    pickled = folder / "pickled"
    pickled.mkdir()
    (pickled / "MLmodel").write_text(yaml.safe_dump({"flavors": {"sklearn": {}, "onnx": {}}}))
    client.create_model_version("digits", pickled.as_uri())
    client.set_registered_model_alias("digits", "champion", "2")
    return uri


@pytest.fixture(autouse=True)
def workplace(store, tmp_path, monkeypatch):
    """An empty working folder, and MLflow as in a new process afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    yield
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("choice", "version"),
    [({}, 2), ({"alias": "champion"}, 2), ({"version": 1}, 1), ({"version": 1, "alias": "x"}, 1)],
)
def test_alias_or_version_can_be_chosen(choice, version):
    found = Registry().find("digits", **choice)
    assert (found.version, found.uri) == (version, f"models:/digits/{version}")


def test_versions_come_in_order_with_their_aliases():
    registry = Registry()
    assert [(v.version, v.aliases) for v in registry.versions("digits")] == [
        (1, ()),
        (2, ("champion",)),
        (3, ()),
    ]
    assert registry.versions("nobody") == []


@pytest.mark.parametrize(
    ("name", "choice", "wanted", "known"),
    [
        ("nobody", {}, "no model 'nobody' with alias 'champion'", ""),
        ("digits", {"alias": "winner"}, "no model 'digits' with alias 'winner'", KNOWN),
        ("digits", {"version": 9}, "no model 'digits' with version 9", KNOWN),
        ("digits", {"version": -1}, "no model 'digits' with version -1", KNOWN),
        ("nobody", {"version": 1}, "no model 'nobody' with version 1", ""),
    ],
)
def test_what_is_not_registered_is_refused_with_what_there_is(store, name, choice, wanted, known):
    with pytest.raises(UserError) as raised:
        Registry().find(name, **choice)
    assert str(raised.value) == f"{wanted} in {store}{known}"


@pytest.fixture
def letters(store) -> Iterator[mlflow.MlflowClient]:
    """`letters` version 1, the champion, 2, a challenger, and 3, which the gate refused."""
    client = mlflow.MlflowClient(store, store)
    client.create_registered_model("letters")
    for gate in ("champion", "challenger", "refused"):
        tags = {"gate": gate, "gate.reason": "no alias: too bad"}
        client.create_model_version("letters", "file:///nowhere", tags=tags)
    client.set_registered_model_alias("letters", "champion", "1")
    client.set_registered_model_alias("letters", "challenger", "2")
    yield client
    client.delete_registered_model("letters")


def aliases(client: mlflow.MlflowClient) -> dict[str, int]:
    found = client.get_registered_model("letters").aliases
    return {alias: int(version) for alias, version in found.items()}


BOTH = {"champion": 1, "challenger": 2}


@pytest.mark.parametrize(
    ("labels", "moved", "after", "said"),
    [
        ({"stable": 1}, "stable", BOTH, []),
        ({"stable": 1, "canary": 2}, "canary", BOTH, []),
        (
            {"stable": 2},
            "stable",
            {"champion": 2},
            ["letters version 2 is now the champion, which was version 1"],
        ),
        # A champion that is a canary first stays champion alone.
        ({"stable": 2, "canary": 1}, "canary", BOTH, []),
        (
            {"stable": 3},
            "stable",
            BOTH,
            ["letters version 3 gets no alias, as the gate refused it: no alias: too bad"],
        ),
        (
            {"stable": 1, "canary": 3},
            "canary",
            BOTH,
            ["letters version 3 gets no alias, as the gate refused it: no alias: too bad"],
        ),
        ({"stable": 1, "beta": 2}, "beta", BOTH, []),
    ],
)
def test_aliases_follow_the_label_that_moved_and_never_to_a_refused_version(
    letters, labels, moved, after, said
):
    assert Registry().follow("letters", labels, moved) == said
    assert aliases(letters) == after


def test_of_the_versions_that_there_are_a_refused_one_is_deployed_last(letters, store):
    with pytest.raises(UserError) as raised:
        Registry().find("letters", version=9)
    assert str(raised.value) == (
        f"no model 'letters' with version 9 in {store}; its versions are: 1 champion, "
        "2 challenger, 3 refused; deploy one: python -m serving deploy letters --version 2"
    )


def test_a_person_s_alias_overrules_the_gate(letters):
    assert Registry().find("letters", version=3).refused
    letters.set_registered_model_alias("letters", "trusted", "3")
    assert not Registry().find("letters", version=3).refused
    Registry().follow("letters", {"stable": 3}, "stable")
    assert aliases(letters)["champion"] == 3


@pytest.mark.parametrize("uri", ["", "sqlite:///elsewhere/mlflow.db"])
def test_a_missing_store_is_refused_and_none_is_made(tmp_path, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    named = uri or "sqlite:///mlruns/mlflow.db"
    with pytest.raises(UserError) as raised:
        Registry()
    assert str(raised.value) == (
        f"there is no tracking store {named} here; train a model first, or set MLFLOW_TRACKING_URI"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["sqlite", "gopher"])
def test_what_is_no_registry_is_refused_in_a_sentence(tmp_path, monkeypatch, scheme):
    (tmp_path / "mlflow.db").write_text("This is a text and not a database. " * 100)
    uri = f"{scheme}:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError) as raised:
        Registry().find("digits")
    assert str(raised.value).startswith(f"the registry {uri} cannot be read: ")
    assert "\n" not in str(raised.value)


def test_a_registry_out_of_reach_is_no_missing_model(store, monkeypatch):
    def unreachable(*_: object) -> None:
        raise mlflow.MlflowException("connection refused\nand more")

    registry = Registry()
    monkeypatch.setattr(mlflow.MlflowClient, "get_model_version_by_alias", unreachable)
    with pytest.raises(UserError) as raised:
        registry.find("digits")
    assert str(raised.value) == f"the registry {store} cannot be read: connection refused"


def test_without_a_variable_the_store_of_the_working_folder_is_used(store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").symlink_to(store.removeprefix("sqlite:///"))
    assert Registry().find("digits").version == 2


def test_a_model_without_a_saved_model_is_refused(tmp_path):
    registry = Registry()
    with pytest.raises(UserError) as raised:
        registry.download(registry.find("digits", version=3), tmp_path)
    assert str(raised.value) == "the model holds no SavedModel; its flavours are: onnx, sklearn"


def test_a_download_that_breaks_off_is_told_in_a_sentence(tmp_path, monkeypatch):
    def break_off(uri: str, dst_path: str) -> str:
        raise ConnectionError("the store is gone\nand more")

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", break_off)
    registry = Registry()
    with pytest.raises(RolloutError) as raised:
        registry.download(registry.find("digits"), tmp_path)
    assert str(raised.value) == "models:/digits/2 cannot be downloaded: the store is gone"


def test_a_store_that_was_moved_with_its_artifacts_is_deployed_from(store, tmp_path, monkeypatch):
    before = Path(store.removeprefix("sqlite:///")).parent
    client = mlflow.MlflowClient(store, store)
    logged = client.create_logged_model("0", name="model")
    files = Path(logged.artifact_location)
    shutil.copytree(before / "logged" / "digits" / "1", files)
    client.create_registered_model("moved")
    client.create_model_version("moved", f"models:/{logged.model_id}", model_id=logged.model_id)

    after = tmp_path / "new place"
    after.mkdir()
    shutil.copy(before / "mlflow.db", after)
    shutil.move(before / "artifacts", after)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{after}/mlflow.db")
    registry = Registry()
    saved = registry.download(registry.find("moved", version=1), tmp_path / "models")
    assert (saved / "saved_model.pb").exists()
    assert not files.exists()


def test_a_server_of_another_user_may_read_what_is_deployed(tmp_path):
    target = RolloutTarget(Repository(tmp_path / "models"))
    done = deploy(target, Registry(), "digits", InProcess, version=1)
    for folder in (tmp_path / "models", done.path.parent, done.path, done.path / "variables"):
        assert folder.stat().st_mode & 0o055 == 0o055, folder
    for file in (done.path / "saved_model.pb", tmp_path / "models" / "models.config"):
        assert file.stat().st_mode & 0o044 == 0o044, file


def test_rollouts_import_no_tensorflow(store, tmp_path):
    program = (
        "import sys\n"
        "from serving.engines import engine\n"
        "from serving.rollout import compare, deploy, model_registry, status\n"
        "from serving.__main__ import main\n"
        "assert main(['status', 'digits', '--address', '127.0.0.1:1']) == 1\n"
        "assert 'mlflow' in sys.modules\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_report_is_a_run_within_the_one_that_trained_the_version(store, tmp_path):
    mlflow.set_tracking_uri(store)
    with mlflow.start_run() as trained:
        pass
    found = replace(Registry().find("digits", version=1), run_id=trained.info.run_id)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "drift.md").write_text("a page")
    said = Registry().log_report(found, "drift", tmp_path / "files", "a page", {"drift/x: y<": 0.5})
    run = mlflow.get_run(said.split()[1])
    assert said.endswith("of Default")
    assert run.info.experiment_id == trained.info.experiment_id
    assert (run.info.status, run.info.run_name) == ("FINISHED", "drift of digits version 1")
    assert run.data.metrics == {"drift/x: y_": 0.5}
    assert run.data.tags["mlflow.note.content"] == "a page"
    assert run.data.tags["mlflow.parentRunId"] == trained.info.run_id
    assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/drift.md") == "a page"
    with pytest.raises(UserError, match=r"cannot be logged in .*--report FOLDER"):
        Registry().log_report(replace(found, run_id="gone"), "drift", tmp_path, "", {})


def test_a_password_in_the_address_of_the_registry_is_not_shown(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:s3cret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError) as raised:
        Registry().find("digits")
    assert "https://me:***@127.0.0.1:9" in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("code", "user", "reason"),
    [
        ("UNAUTHENTICATED", "", "it asks for a user and a password: set MLFLOW_TRACKING_USERNAME "),
        ("UNAUTHENTICATED", "me", "it does not accept the user me with the password of MLFLOW_"),
        ("PERMISSION_DENIED", "me", "the user me may not do that"),
    ],
)
def test_a_registry_that_refuses_a_user_says_what_to_set(
    store, tmp_path, monkeypatch, code, user, reason
):
    def refused(*_: object) -> None:
        raise mlflow.MlflowException("no", error_code=ErrorCode.Value(code))

    monkeypatch.setenv("HOME", str(tmp_path))  # Without ~/.mlflow/credentials.
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", user)
    monkeypatch.setattr(mlflow.MlflowClient, "get_model_version_by_alias", refused)
    with pytest.raises(UserError, match=f"cannot be read: {reason}"):
        Registry().find("digits")


def test_a_server_that_is_away_is_told_within_seconds(monkeypatch):
    variables = ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT")
    for variable in variables:
        monkeypatch.setenv(variable, "")  # So that it is restored afterwards.
        monkeypatch.delenv(variable)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    registry = Registry()
    assert int(os.environ[variables[0]]) <= 3
    monkeypatch.setenv(variables[0], "0")
    with pytest.raises(UserError, match=r"cannot be read: no server answers there$"):
        registry.find("digits")


def test_a_missing_driver_of_a_database_is_told_in_a_sentence(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mysql+oursql://me:s3cret@127.0.0.1/mlflow")
    with pytest.raises(UserError, match="cannot be read: ") as raised:
        Registry().find("digits")
    assert "s3cret" not in str(raised.value)
