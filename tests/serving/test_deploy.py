"""From a real MLflow registry to the model repository, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import mlflow
import pytest
import yaml
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from serving import __main__ as command_line
from serving import deploy as module
from serving.deploy import Deployment, deploy
from serving.errors import UserError
from serving.server import versions

pytestmark = pytest.mark.xdist_group("registry")  # Creating the database takes seconds.

FILES = {
    "saved_model.pb": b"the graph",
    "variables/variables.index": b"",
    "variables/variables.data-00000-of-00001": b"\0" * 1000,
    "assets.extra/tf_serving_warmup_requests": b"requests",
}


def mlflow_model(path: Path, flavors: dict, files: dict[str, bytes]) -> str:
    """Writes an MLflow model as a run would log it, and returns its location."""
    for name, content in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (path / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))
    return path.as_uri()


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    """Model `digits`: 1, 2 (champion) and 3 (challenger) hold a SavedModel, 4 does not."""
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder}/mlflow.db"
    SqlAlchemyStore(uri, str(folder / "artifacts")).engine.dispose()
    client = mlflow.MlflowClient(uri, uri)
    client.create_registered_model("digits")
    inside = {f"saved_model/{name}": content for name, content in FILES.items()}
    tensorflow = {"tensorflow": {"saved_model_dir": "saved_model"}, "python_function": {}}
    models: list[tuple[dict, dict[str, bytes]]] = [
        (tensorflow, inside | {"saved_model/saved_model.pb": b"version 1"}),
        (tensorflow, inside),
        ({"tensorflow": {"saved_model_dir": "."}}, FILES),
        ({"sklearn": {}, "python_function": {}}, {"model.pkl": b"pickled"}),
    ]
    for number, (flavors, files) in enumerate(models, 1):
        source = mlflow_model(folder / "models" / str(number), flavors, files)
        client.create_model_version("digits", source)
    client.set_registered_model_alias("digits", "champion", "2")
    client.set_registered_model_alias("digits", "challenger", "3")
    return uri


@pytest.fixture(autouse=True)
def workplace(store, tmp_path, monkeypatch):
    """An empty working folder, and MLflow as in a new process afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    yield
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refused(*arguments, **options) -> str:
    with pytest.raises(UserError) as raised:
        deploy(*arguments, **options)
    return str(raised.value)


def test_the_champion_is_deployed_under_its_registered_version(tmp_path):
    path = tmp_path / "models" / "digits" / "2"
    assert deploy("digits", tmp_path / "models") == Deployment("digits", 2, path, fresh=True)
    assert tree(path) == FILES
    assert [child.name for child in path.parent.iterdir()] == ["2"]


def test_a_server_of_another_user_may_read_what_is_deployed(tmp_path):
    path = deploy("digits", tmp_path).path
    for folder in (path.parent, path, path / "variables"):
        assert folder.stat().st_mode & 0o055 == 0o055, folder
    assert (path / "saved_model.pb").stat().st_mode & 0o044 == 0o044


@pytest.mark.parametrize(
    ("choice", "version"),
    [
        ({"alias": "challenger"}, 3),
        ({"version": 1}, 1),
        ({"version": 3, "alias": "champion"}, 3),
    ],
)
def test_alias_or_version_can_be_chosen(tmp_path, choice, version):
    done = deploy("digits", tmp_path, **choice)
    assert (done.version, done.fresh) == (version, True)
    assert set(tree(done.path)) >= set(FILES)
    assert (done.path / "saved_model.pb").read_bytes() == (
        b"version 1" if version == 1 else b"the graph"
    )


def test_what_is_deployed_already_is_left_alone(tmp_path):
    first = deploy("digits", tmp_path)
    (first.path / "saved_model.pb").write_bytes(b"touched")
    again = deploy("digits", tmp_path)
    assert again == Deployment("digits", 2, first.path, fresh=False)
    assert (first.path / "saved_model.pb").read_bytes() == b"touched"


def test_versions_stand_beside_one_another(tmp_path):
    deploy("digits", tmp_path, version=1)
    deploy("digits", tmp_path)
    assert sorted(child.name for child in (tmp_path / "digits").iterdir()) == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "choice", "wanted"),
    [
        ("nobody", {}, "no model 'nobody' with alias 'champion'"),
        ("digits", {"alias": "winner"}, "no model 'digits' with alias 'winner'"),
        ("digits", {"version": 9}, "no model 'digits' with version 9"),
        ("digits", {"version": -1}, "no model 'digits' with version -1"),
        ("nobody", {"version": 1}, "no model 'nobody' with version 1"),
    ],
)
def test_what_is_not_registered_is_refused_in_a_sentence(tmp_path, store, name, choice, wanted):
    assert refused(name, tmp_path / "models", **choice) == f"{wanted} in {store}"
    assert not (tmp_path / "models").exists()


def test_a_model_without_a_saved_model_is_refused_and_leaves_nothing(tmp_path):
    sentence = refused("digits", tmp_path, version=4)
    assert sentence == "the model holds no SavedModel; its flavours are: python_function, sklearn"
    assert tree(tmp_path) == {}
    assert list((tmp_path / "digits").iterdir()) == []


@pytest.mark.parametrize("uri", ["", "sqlite:///elsewhere/mlflow.db"])
def test_a_missing_store_is_refused_and_none_is_made(tmp_path, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    named = uri or "sqlite:///mlruns/mlflow.db"
    assert refused("digits", tmp_path) == (
        f"there is no tracking store {named} here; train a model first"
    )
    assert list(tmp_path.iterdir()) == []


def test_without_a_variable_the_store_of_the_working_folder_is_used(store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").symlink_to(store.removeprefix("sqlite:///"))
    assert deploy("digits", tmp_path / "models").version == 2


def nothing_but(repository: Path, *names: str) -> bool:
    return sorted(child.name for child in (repository / "digits").iterdir()) == sorted(names)


def test_a_download_that_breaks_off_leaves_nothing(tmp_path, monkeypatch):
    deploy("digits", tmp_path, version=1)

    def break_off(uri: str, dst_path: str) -> str:
        (Path(dst_path) / "saved_model").mkdir()
        (Path(dst_path) / "saved_model" / "saved_model.pb").write_bytes(b"half of")
        assert versions.found(os.listdir(tmp_path / "digits")) == {1: "1"}
        raise ConnectionError("the store is gone")

    with monkeypatch.context() as patched:
        patched.setattr(mlflow.artifacts, "download_artifacts", break_off)
        with pytest.raises(ConnectionError):
            deploy("digits", tmp_path)
    assert nothing_but(tmp_path, "1")
    assert deploy("digits", tmp_path).fresh


@pytest.mark.parametrize("interruption", [OSError("no space left"), KeyboardInterrupt()])
def test_a_rename_that_fails_leaves_nothing(tmp_path, monkeypatch, interruption):
    def fail(source, target):
        assert (Path(source) / "saved_model.pb").exists()
        raise interruption

    with monkeypatch.context() as patched:
        patched.setattr(module.os, "replace", fail)
        with pytest.raises(type(interruption)):
            deploy("digits", tmp_path)
    assert nothing_but(tmp_path)
    assert deploy("digits", tmp_path).fresh


def test_a_server_never_sees_a_part_of_a_version(tmp_path, monkeypatch):
    """At each step on the way, what a server would take for a version is whole."""
    steps = []
    download, replace = mlflow.artifacts.download_artifacts, os.replace

    def look() -> None:
        names = os.listdir(tmp_path / "digits")
        steps.append(names)
        for name in versions.found(names).values():
            assert tree(tmp_path / "digits" / name) == FILES

    def watched_download(*arguments, **options):
        look()
        result = download(*arguments, **options)
        look()
        return result

    def watched_replace(*arguments):
        look()
        replace(*arguments)
        look()

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", watched_download)
    monkeypatch.setattr(module.os, "replace", watched_replace)
    deploy("digits", tmp_path)
    assert [len(versions.found(names)) for names in steps] == [0, 0, 0, 1]
    assert all(name.startswith(".2.") for name in steps[0] + steps[1] + steps[2])


def test_two_deployments_of_one_version_at_once_both_end_well(tmp_path, monkeypatch):
    replace, both = os.replace, threading.Barrier(2)
    done: list[Deployment] = []

    def together(*arguments):
        both.wait(30)
        replace(*arguments)

    monkeypatch.setattr(module.os, "replace", together)
    threads = [
        threading.Thread(target=lambda: done.append(deploy("digits", tmp_path))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(each.fresh for each in done) == [False, True]
    assert tree(tmp_path / "digits" / "2") == FILES
    assert nothing_but(tmp_path, "2")


def test_the_command_line_says_what_was_deployed_and_where(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command_line.console, "width", 40)
    arguments = ["deploy", "digits", "--repository", str(tmp_path / "models")]
    path = tmp_path / "models" / "digits"
    assert command_line.main(arguments) == 0
    assert command_line.main(arguments) == 0
    assert command_line.main([*arguments, "--alias", "challenger"]) == 0
    assert command_line.main([*arguments, "--version", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"digits version 2 deployed: {path}/2",
        f"digits version 2 was deployed already: {path}/2",
        f"digits version 3 deployed: {path}/3",
        f"digits version 1 deployed: {path}/1",
    ]


def test_the_command_line_refuses_in_a_sentence(tmp_path, store, capsys):
    assert command_line.main(["deploy", "nobody", "--repository", str(tmp_path)]) == 2
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert errors == f"error: no model 'nobody' with alias 'champion' in {store}\n"


DEPLOYS_THAT_DIE = """
import os, signal, sys
from pathlib import Path
from serving.deploy import deploy

def count(event, arguments):
    global left
    if event.startswith(("open", "os.", "shutil.")) and "/.2." in str(arguments):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

deploy("digits", Path(sys.argv[1]), version=1)  # Imports what it needs.
for line in sys.stdin:
    if os.fork() == 0:
        left = int(line)
        sys.addaudithook(count)
        deploy("digits", Path(sys.argv[1]))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


def test_a_deploy_killed_at_any_moment_leaves_no_version_and_the_next_one_clears_up(tmp_path):
    """Processes that import once and then deploy, each killed before a later file operation."""
    deploy("digits", tmp_path, version=1)
    process = subprocess.Popen(
        [sys.executable, "-c", DEPLOYS_THAT_DIE, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(module.__file__).parent.parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdin
        assert process.stdout
        for number in range(1, 100):
            moment = number**2
            print(moment, file=process.stdin, flush=True)
            code = int(process.stdout.readline())
            names = os.listdir(tmp_path / "digits")
            if code == 0:
                break
            assert code == -signal.SIGKILL
            for name in versions.found(names).values():
                assert name == "1" or tree(tmp_path / "digits" / name) == FILES
            if "2" in names:  # Killed when it was done, as it removed its empty folder.
                (tmp_path / "digits" / "2").rename(tmp_path / str(moment))
            # What the one before had left is gone.
            assert len([name for name in names if name.startswith(".2.")]) <= 1
        process.stdin.close()
    assert number > 3
    assert nothing_but(tmp_path, "1", "2")
    assert tree(tmp_path / "digits" / "2") == FILES


def test_a_deploy_leaves_alone_what_another_one_is_writing(tmp_path, monkeypatch):
    download = mlflow.artifacts.download_artifacts

    def meanwhile(*arguments, **options):
        monkeypatch.setattr(mlflow.artifacts, "download_artifacts", download)
        result = download(*arguments, **options)
        assert deploy("digits", tmp_path, version=1).fresh
        return result

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", meanwhile)
    assert deploy("digits", tmp_path).fresh
    assert nothing_but(tmp_path, "1", "2")
