"""Several desks at once, with an MLflow server on PostgreSQL that asks for passwords.

The server is killed and started again while they train.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
from mlflow.server.auth.client import AuthServiceClient

from foundry.__main__ import main
from tests.end_to_end.deploying import deploy
from tests.pipelines.postgres import Postgres, postgres
from tests.pipelines.tracking_server import ADMIN, PASSWORD, Server

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent
COLLEAGUE, COLLEAGUES_PASSWORD = "colleague", "the-colleague-s-password"
# In the environment of all desks, and in the address of the sweep's database.
SECRETS = {"AWS_SECRET_ACCESS_KEY": "planted-key-of-a-cloud", "HF_TOKEN": "planted-token-of-a-hub"}
DATABASE_PASSWORD = "planted-password-of-a-database"
NETWORK = ("--model.filters=[4]", "--model.units=[]", "--model.convolutions=1")
SMALL = ("--max_examples=64", "--figures=false", "--jit_compile=false", *NETWORK)
EPOCHS = 120
TRAIN = ("train", "image_classification", f"--epochs={EPOCHS}", "--batch_size=8", *SMALL)
SWEEP = (
    *("sweep", "image_classification", "--space", "space.yaml", "--trials", "4", "--sweep", "ours"),
    *("--epochs=2", *SMALL),
)


@dataclass(frozen=True)
class Desks:
    """What the desks have left when all are done.

    Attributes:
        server: The MLflow server, running.
        postgres: The server of its databases.
        folder: Where each desk has its folder and a log of what it printed.
        codes: Exit codes by the names of desks.
    """

    server: Server
    postgres: Postgres
    folder: Path
    codes: dict[str, int]

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()


def begin(
    folder: Path, name: str, arguments: tuple[str, ...], **environment: str
) -> subprocess.Popen:
    """Starts a command in a folder of its own, as somebody at another desk does."""
    (folder / name).mkdir()
    (folder / name / "space.yaml").write_text("optimizer.learning_rate: [0.001, 0.002, 0.003]\n")
    with (folder / f"{name}.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "foundry", *arguments],
            cwd=folder / name,
            env={**os.environ, "PYTHONPATH": str(ROOT), **SECRETS, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


@contextmanager
def signed(server: Server, user: str, password: str) -> Iterator[None]:
    """Runs its body as a user of the server; as nobody without a name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", server.uri)
        patch.setenv("MLFLOW_TRACKING_USERNAME", user)
        patch.setenv("MLFLOW_TRACKING_PASSWORD", password)
        for variable in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
            patch.setenv(variable, "3")  # Commands would set them for all that follows.
        mlflow.set_tracking_uri(server.uri)
        yield
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def desks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desks]:
    """One desk trains, two work on a sweep; the server dies in the middle and comes back."""
    folder = tmp_path_factory.mktemp("desks")
    with ExitStack() as stack:
        database = stack.enter_context(postgres())
        server = Server(folder, database.database("store"), users=database.database("users"))
        stack.callback(server.kill)
        server.start()
        with signed(server, ADMIN, PASSWORD):
            AuthServiceClient(server.uri).create_user(COLLEAGUE, COLLEAGUES_PASSWORD)
        trials = database.database("trials").replace("@", f":{DATABASE_PASSWORD}@")
        own = {
            "MLFLOW_TRACKING_URI": server.uri,
            "MLFLOW_TRACKING_USERNAME": COLLEAGUE,
            "MLFLOW_TRACKING_PASSWORD": COLLEAGUES_PASSWORD,
        }
        # The first one has its password in the address.
        address = f"http://{ADMIN}:{PASSWORD}@{server.address}"
        processes = {
            "first": begin(folder, "first", TRAIN, MLFLOW_TRACKING_URI=address),
            "second": begin(folder, "second", (*SWEEP, "--storage", trials), **own),
            "third": begin(folder, "third", (*SWEEP, "--storage", trials), **own),
        }
        for process in processes.values():
            stack.callback(process.kill)
        found = Desks(server, database, folder, {})
        begun = {"first": "train      2/", "second": "sweep ours", "third": "sweep ours"}
        end = time.monotonic() + 300
        while not all(sign in found.log(name) for name, sign in begun.items()):
            for name, process in processes.items():
                assert process.poll() is None, found.log(name)
            assert time.monotonic() < end, [found.log(name) for name in processes]
            time.sleep(0.1)
        server.kill()
        time.sleep(2)
        server.start()
        for name, process in processes.items():
            found.codes[name] = process.wait(timeout=400)
        yield found


@pytest.fixture(scope="module")
def deployed(desks: Desks) -> Path:
    """A repository with version 1 as stable and 2 as canary, of which a person makes champions."""
    repository = desks.folder / "models"
    with signed(desks.server, ADMIN, PASSWORD):
        client = mlflow.MlflowClient()
        for version, alias in ((1, "champion"), (2, "challenger")):
            client.set_registered_model_alias("digits", alias, str(version))
            deploy("digits", repository, version=version)
    return repository


def test_nothing_is_lost(desks, workplace):
    assert desks.codes == {"first": 0, "second": 0, "third": 0}
    with signed(desks.server, ADMIN, PASSWORD):
        client = mlflow.MlflowClient()
        found = mlflow.search_runs(search_all_experiments=True, output_format="list")
        runs = {run.info.run_name: run for run in found if isinstance(run, mlflow.entities.Run)}
        (first,) = (name for name in runs if name.startswith("convnet on digits"))
        trials = {f"ours, trial {number}" for number in range(4)}
        assert len(found) == len(runs)
        assert set(runs) == {first, "sweep ours", "ours, winner", *trials}
        assert {run.info.status for run in found} == {"FINISHED"}
        history = client.get_metric_history(runs[first].info.run_id, "train/val_loss")
        assert [point.step for point in history] == [*range(1, EPOCHS + 1)]
        for name, run in runs.items():
            file = "trials.csv" if name == "sweep ours" else "config.yaml"
            assert file in {each.path for each in client.list_artifacts(run.info.run_id)}, name
        versions = client.search_model_versions("name = 'digits'")
    trained = {runs[name].info.run_id for name in (first, "ours, winner")}
    assert {version.run_id for version in versions} == trained
    assert sorted(int(version.version) for version in versions) == [1, 2]
    for name in desks.codes:
        assert "Traceback" not in desks.log(name)
        # Nothing that was not sent, and no checkpoint of a run that has ended.
        assert not [*(desks.folder / name / "mlruns").glob("*/*")]


def test_commands_take_the_user_and_the_password_of_the_environment(
    desks, deployed, workplace, capsys
):
    here = ("--repository", str(deployed))
    with signed(desks.server, COLLEAGUE, COLLEAGUES_PASSWORD):
        # To remove the alias of the challenger takes more than EDIT.
        assert main(["promote", "digits", *here]) == 0
        assert capsys.readouterr().err.endswith("the user colleague may not do that\n")
    with signed(desks.server, ADMIN, PASSWORD):
        mlflow.MlflowClient().set_registered_model_alias("digits", "challenger", "1")
        assert main(["rollback", "digits", *here]) == 0
        assert "digits version 1 is now the champion" in capsys.readouterr().out
    with signed(desks.server, COLLEAGUE, COLLEAGUES_PASSWORD):
        main(["status", "digits", *here, "--address", "localhost:1"])
        assert "champion, blessed" in capsys.readouterr().out
        assert main(["compare", "ours, winner", "ours, trial 1"]) == 0
        assert "comparison.html in http://" in capsys.readouterr().out
        assert main(["ui"]) == 0
        assert capsys.readouterr().out.endswith(f"shows its own UI: {desks.server.uri}\n")
        assert main([*TRAIN, "--resume", "latest"]) == 2
        assert "has finished: there is nothing left to do" in capsys.readouterr().err


COMMANDS = {
    "train": (TRAIN, "tracking store"),
    "resume": ((*TRAIN, "--resume", "latest"), "tracking store"),
    "sweep": (SWEEP, "tracking store"),
    "compare": (("compare", "aaaa", "bbbb"), "tracking store"),
    "export": (("export", "aaaa", "--variants", "frozen"), "tracking store"),
    "deploy": (("deploy", "digits"), "registry"),
    "status": (("status", "others", "--address", "localhost:1"), "registry"),
    "score": (("score", "models:/digits/1", "--input", "a.csv", "--output", "out"), "registry"),
    "watch": (("watch", "digits", "--log", "a.csv", "--version", "1"), "registry"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_without_the_right_password_a_command_says_so(desks, deployed, workplace, capsys, command):
    Path("space.yaml").write_text("optimizer.learning_rate: [0.001, 0.002]\n")
    Path("a.csv").write_text("a\n1\n")
    arguments, store = COMMANDS[command]
    if command in ("deploy", "status", "watch"):
        arguments = (*arguments, "--repository", str(deployed))
    for user, password, reason in (
        ("", "", "it asks for a user and a password: set MLFLOW_TRACKING_USERNAME and "),
        (ADMIN, "wrong", "it does not accept the user admin with the password of "),
    ):
        with signed(desks.server, user, password):
            assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert f"the {store} {desks.server.uri} cannot be " in line
        assert line.endswith(f"{reason}MLFLOW_TRACKING_PASSWORD")


def test_a_promotion_without_the_password_warns_that_the_registry_does_not_follow(
    desks, deployed, workplace, capsys
):
    here = ("--repository", str(deployed))
    with signed(desks.server, ADMIN, "wrong"):
        assert main(["promote", "digits", "--version", "2", *here]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: the registry's aliases stay as they were: ")
    assert "it does not accept the user admin" in line


def test_secrets_are_kept_nowhere(desks, deployed):
    secrets = {*SECRETS.values(), PASSWORD, COLLEAGUES_PASSWORD, DATABASE_PASSWORD}
    dumped = {name: desks.postgres.dump(name).encode() for name in ("store", "users", "trials")}
    files = {file: file.read_bytes() for file in desks.folder.rglob("*") if file.is_file()}
    for file in [*files]:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                files |= {file / name: archive.read(name) for name in archive.namelist()}
    assert {desks.server.log, desks.folder / "first.log"} < set(files)
    assert {"card.html", "config.yaml", "saved_model.pb"} < {file.name for file in files}
    for where, content in {**files, **dumped}.items():
        assert not [secret for secret in secrets if secret.encode() in content], where
    assert b"ours, winner" in dumped["store"]
