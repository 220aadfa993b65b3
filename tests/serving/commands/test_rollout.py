"""The command line of rollouts, with a real engine and a real server process, under load."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import psutil
import pytest

from serving.__main__ import main
from serving.client import Client
from serving.commands import output, rollout
from serving.engines import record
from serving.engines.engine import choose
from serving.engines.ports import free_port
from serving.rollout.model_registry import Registry
from serving.rollout.target import RolloutTarget
from tests.serving import fake_programs, rollouts, saved_models
from tests.serving.rollouts import NAME

pytestmark = pytest.mark.xdist_group("registry")  # Creating the database takes seconds.

X = {"x": np.array([2.0], np.float32)}
ANSWERS = {1: 3.0, 2: 4.0}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> str:
    """`digits` versions 1 and 2."""
    folder = tmp_path_factory.mktemp("store")
    uri = rollouts.store_of(folder)
    for number, answer in ANSWERS.items():
        saved = saved_models.half_plus_two(folder / f"made{number}", 0.5, answer - 1)
        rollouts.record_golden(saved, 0.5, answer - 1)
        rollouts.register(uri, folder, saved)
    return uri


@pytest.fixture
def run(store, tmp_path, monkeypatch, capsys) -> Iterator[Run]:
    """Runs a command in an empty working folder; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    client = mlflow.MlflowClient(store, store)
    client.set_registered_model_alias(NAME, "champion", "1")
    client.set_registered_model_alias(NAME, "challenger", "2")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        printed, errors = capsys.readouterr()
        lines = [
            line for line in errors.splitlines() if line and "Downloading artifacts" not in line
        ]
        return code, printed, "\n".join(lines)

    yield run
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


@pytest.fixture
def in_process(monkeypatch) -> None:
    """Tries candidates on servers in this process, where the engine is not under test."""
    monkeypatch.setattr(rollout, "choose", lambda name: rollouts.InProcess())


class Load:
    """Callers that ask on and on: by default, without a label, and split between two."""

    def __init__(self, address: str) -> None:
        self.failures: list[Exception] = []
        self.answers: dict[str, set[float]] = {}
        self._done = threading.Event()
        clients = {
            "default": Client(address, timeout=20),
            "no label": Client(address, timeout=20, label=""),
            "split": Client(address, timeout=20, labels={"stable": 1, "canary": 1}),
        }
        self._threads = [
            threading.Thread(target=self._ask, args=(who, client))
            for who, client in clients.items()
        ]

    def _ask(self, who: str, client: Client) -> None:
        with client:
            while not self._done.wait(0.02):
                try:
                    answer = client.predict(NAME, X)["y"].item()
                    self.answers.setdefault(who, set()).add(answer)
                except Exception as error:
                    self.failures.append(error)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()


def test_a_rollout_from_the_first_version_to_the_last_without_a_failed_request(
    run, tmp_path, monkeypatch
):
    """deploy, deploy as canary, compare, promote, roll back, undeploy, with a status in between."""
    repository = tmp_path / "models"
    code, printed, errors = run("deploy", NAME, "--engine", "embedded")
    assert (code, errors) == (0, "")
    assert printed.splitlines()[0].startswith("2 golden requests answered within tolerance, the")
    assert printed.splitlines()[1:] == [
        "digits version 1 deployed: models/digits/1",
        "labels: stable 1",
        "no running server serves this repository; start one: python -m serving up",
    ]
    record = json.loads((repository / NAME / "1/assets.extra/deployment.json").read_text())
    assert record["golden"]["engine"] == "embedded"

    port = free_port()
    log = tmp_path / "server.log"
    engine = choose("embedded")
    # The engine of the trial was under test above.
    monkeypatch.setattr(rollout, "choose", lambda name: rollouts.InProcess())
    with engine.start(repository, port=port, rest_port=0, log=log) as server:
        server.wait_until_ready(120)
        at = ("--address", server.address)
        code, printed, _ = run("status", *at)
        assert code == 0, printed
        assert "AVAILABLE, stable" in printed
        with Load(server.address) as load:
            code, printed, errors = run(
                *("deploy", NAME, "--alias", "challenger", "--engine", "embedded"), *at
            )
            assert (code, errors) == (0, "")
            assert "labels: canary 2, stable 1" in printed
            assert printed.endswith(
                f"next: python -m serving compare digits --address {server.address}\n"
                f"then: python -m serving promote digits --address {server.address}\n"
            )
            code, printed, errors = run("compare", NAME, *at)
            assert (code, errors) == (0, "")
            assert "serving_default/y" in printed
            code, printed, _ = run("status", NAME, *at)
            assert code == 0, printed
            code, printed, errors = run("promote", NAME, "--label", "stable", *at)
            assert (code, errors) == (0, "")
            assert "labels: stable 2" in printed
            assert "digits version 2 is now the champion, which was version 1" in printed
            assert Registry().find(NAME).version == 2
            code, printed, errors = run("rollback", NAME, *at)
            assert (code, errors) == (0, "")
            assert printed.startswith("digits version 1 is stable again: models/digits/1\n")
            code, printed, errors = run("undeploy", NAME, "--version", "2", *at)
            assert (code, printed, errors) == (0, "digits version 2 removed\n", "")
            code, printed, _ = run("status", NAME, *at)
            assert code == 0, printed
        assert load.failures == []
        assert load.answers["default"] == load.answers["split"] == {3.0, 4.0}
        assert not (repository / NAME / "2").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["deploy", "nobody"], "no model 'nobody' with alias 'champion' in STORE"),
        (["deploy", NAME, "--version", "9"], "no model 'digits' with version 9 in STORE"),
        (["promote", NAME], "digits has no canary to promote; it is not served"),
        (["promote", NAME, "--version", "1"], "digits version 1 cannot be served, as its folder"),
        (["rollback", NAME], "digits has no stable version; it is not served"),
        (["undeploy", NAME], "there is no digits in models"),
        (
            ["status", "nobody"],
            "no model 'nobody' is in models, nor in the registry or on a server",
        ),
        (["status"], "models holds no models; deploy one: python -m serving deploy MODEL"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(run, store, arguments, sentence):
    code, printed, errors = run(*arguments)
    assert (code, printed) == (2, "")
    assert errors.startswith("error: " + sentence.replace("STORE", store))


@pytest.mark.parametrize(
    "arguments", [["deploy", NAME, "--engine", "abacus"], ["compare", NAME, "--repeats", "0"]]
)
def test_a_choice_that_is_none_is_refused_with_the_usage(run, arguments):
    with pytest.raises(SystemExit) as raised:
        run(*arguments)
    assert raised.value.code == 2


def test_each_address_of_a_status_is_looked_at(run):
    with rollouts.running(Path("models")) as one, rollouts.running(Path("models")) as other:
        code, printed, errors = run("status", NAME, "--address", f"{one},{other},127.0.0.1:1")
    assert (code, errors) == (1, "")
    for address in (one, other, "127.0.0.1:1"):
        assert f"server {address}" in printed.splitlines()
    assert printed.count("no model server answers at") == 1


def test_the_server_that_up_has_started_is_not_shown_with_another_s_status(run, monkeypatch):
    line = "engine embedded, gRPC localhost:9000"
    running = SimpleNamespace(line=line, address="localhost:9000")
    monkeypatch.setattr(record, "read", lambda repository: running)
    Path("models").mkdir()
    for address, shown in (("localhost:9000", True), ("127.0.0.1:1", False)):
        _, printed, _ = run("status", NAME, "--address", address)
        assert (line in printed) == shown


def test_a_comparison_without_a_canary_says_what_to_deploy(in_process, run):
    Path("models").mkdir()
    with rollouts.running(Path("models")) as address:
        at = ("--address", address)
        code, _, errors = run("compare", NAME, *at)
        assert (code, errors) == (
            1,
            f"error: digits is not served at {address}; deploy it: python -m serving deploy digits",
        )
        assert run("deploy", NAME, *at)[0] == 0
        code, _, errors = run("compare", NAME, *at)
    assert (code, errors) == (
        1,
        f"error: digits has no canary at {address}, only stable 1; deploy one: "
        "python -m serving deploy digits --version N",
    )


def test_a_deployed_version_that_is_not_the_champion_stays_so(in_process, run, store):
    """The next step that a challenger's run prints."""
    assert run("deploy", NAME)[0] == 0
    code, printed, _ = run("deploy", NAME, "--version", "2")
    assert (code, "labels: canary 2, stable 1" in printed) == (0, True)
    assert printed.endswith(
        "next: python -m serving compare digits\nthen: python -m serving promote digits\n"
    )
    assert Registry().find(NAME).version == 1
    # A later run's champion: deploying the stable version again does not take that back.
    mlflow.MlflowClient(store, store).set_registered_model_alias(NAME, "champion", "2")
    code, printed, _ = run("deploy", NAME, "--version", "1")
    assert (code, "labels: canary 2, stable 1" in printed) == (0, True)
    assert Registry().find(NAME).version == 2
    assert run("status", NAME, "--address", "127.0.0.1:1")[1].splitlines()[6:] == [
        "no model server answers at 127.0.0.1:1: python -m serving up"
    ]
    code, printed, _ = run("deploy", NAME, "--version", "1", "--now")
    assert "digits version 1 is now the champion, which was version 2" in printed


def test_a_model_with_a_policy_of_its_own_does_not_hide_the_others(in_process, run):
    assert run("deploy", NAME, "--engine", "embedded")[0] == 0
    config = Path("models/models.config")
    more = 'config { name: "flowers" base_path: "/flowers" model_platform: "tensorflow" }'
    config.write_text(config.read_text().rstrip().removesuffix("}") + more + "\n}\n")
    code, printed, errors = run("status", "--address", "127.0.0.1:1")
    assert (code, errors) == (1, "")
    assert "models.config serves flowers by another policy than `specific` versions" in printed
    assert any(NAME in line and "champion" in line for line in printed.splitlines())
    assert run("status", "flowers", "--address", "127.0.0.1:1")[0] == 2


def test_the_candidate_canary_leaves_the_champion_of_the_registry_alone(in_process, run, store):
    for alias in ("champion", "challenger"):
        assert run("deploy", NAME, "--alias", alias, "--engine", "embedded")[0] == 0
        # A later run's gate: version 2 is the better one.
        mlflow.MlflowClient(store, store).set_registered_model_alias(NAME, "champion", "2")
        assert run("promote", NAME, "--label", "canary", "--version", "1")[0] == 0
        assert Registry().find(NAME, alias="champion").version == 2


def test_a_version_that_is_still_loaded_is_a_warning(in_process, run, monkeypatch):
    monkeypatch.setattr(RolloutTarget, "wait_until_unloaded", lambda *_: [1])
    code, _, errors = run("deploy", NAME, "--engine", "embedded")
    assert code == 0
    assert errors == (
        "warning: digits version 1 is still loaded; the server unloads it when its last request "
        "has ended"
    )


def test_a_server_that_is_not_there_ends_a_rollout_and_a_comparison(run):
    nowhere = ("--address", "127.0.0.1:1")
    for command in ("deploy", "compare"):
        code, printed, errors = run(command, NAME, *nowhere)
        assert (code, printed) == (1, "")
        assert errors.startswith("error: no model server answers at 127.0.0.1:1")


def test_without_a_registry_a_promotion_works_and_says_what_is_left(
    in_process, run, tmp_path, monkeypatch
):
    for alias in ("champion", "challenger"):
        assert run("deploy", NAME, "--alias", alias, "--engine", "embedded")[0] == 0
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/gone.db")
    code, printed, errors = run("promote", NAME)
    assert code == 0
    assert "labels: stable 2" in printed
    assert errors.startswith("warning: the registry's aliases stay as they were: there is no ")


def test_tables_are_whole_where_they_go_to_no_terminal(run, monkeypatch):
    monkeypatch.setattr(output.console, "width", 20)
    code, printed, _ = run("status", NAME, "--address", "127.0.0.1:1")
    assert code == 1
    assert "models.config" in printed.splitlines()[1]
    assert "no model server answers at 127.0.0.1:1: python -m serving up" in printed.splitlines()


def test_a_signal_ends_the_server_of_the_candidate_too(store, tmp_path):
    path = tmp_path / "bin"
    program = fake_programs.small_server(path, fake_programs.NEVER_READY)
    fake_programs.tensorflow_model_server(path, program)
    process = subprocess.Popen(
        [sys.executable, "-m", "serving", "deploy", NAME, "--engine", "binary"],
        cwd=tmp_path,
        env={
            **(os.environ | {"PYTHONPATH": str(PAGE.parent.parent), "PATH": str(path)}),
            "MLFLOW_TRACKING_URI": store,
        },
        stderr=subprocess.PIPE,
        text=True,
    )

    def servers() -> list[psutil.Process]:
        return [
            each
            for each in psutil.process_iter(["cmdline"])
            if str(tmp_path / "models") in " ".join(each.info["cmdline"] or ())
            and each.status() != psutil.STATUS_ZOMBIE
        ]

    with process:
        while not servers():
            assert process.poll() is None, process.stderr and process.stderr.read()
            threading.Event().wait(0.02)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.endswith("interrupted\n")
    assert servers() == []
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".lock"]


PAGE = Path(__file__).resolve().parent.parent.parent.parent / "docs" / "rollout.md"
COMMAND = re.compile(r"^python -m serving (.*?)(?: +#.*)?$", re.MULTILINE)
COMMANDS = COMMAND.findall(PAGE.read_text(encoding="utf-8"))


def test_every_command_is_on_the_page():
    shown = {command.split()[0] for command in COMMANDS}
    assert shown >= {"deploy", "compare", "promote", "rollback", "undeploy", "status"}


@pytest.mark.parametrize(
    ("removed", "said"), [([2], "version 2 removed"), ([1, 2], "versions 1, 2 removed")]
)
def test_undeploy_says_what_it_removed(tmp_path, monkeypatch, capsys, removed, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("serving.rollout.promote.undeploy", lambda *_, **__: removed)
    assert main(["undeploy", NAME]) == 0
    assert capsys.readouterr().out == f"{NAME} {said}\n"
