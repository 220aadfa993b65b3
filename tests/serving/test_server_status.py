"""What the status says of a server as a whole; `test_up.py` has the server that `up` started."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving import __main__ as command_line
from serving import server_status
from serving.errors import UserError


def configured(tmp_path: Path, *names: str) -> Path:
    entries = "".join(
        f'config {{ name: "{name}" base_path: "/m/{name}" model_platform: "tensorflow" '
        'version_labels { key: "stable" value: 1 } logging_config {} } '
        for name in names
    )
    (tmp_path / "models.config").write_text(f"model_config_list {{ {entries} }}")
    return tmp_path


def test_every_model_of_the_configuration_has_its_lines(tmp_path, address, capsys):
    repository = configured(tmp_path, "half_plus_two", "nobody")
    code = command_line.main(["status", "--repository", str(repository), "--address", address])
    assert code == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "half_plus_two version 1 AVAILABLE",
        "nobody: Could not find any versions of model nobody",
    ]


def test_a_server_that_nobody_started_here_is_said_to_be_none(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command_line.console, "width", 500)
    repository = configured(tmp_path, "m")
    code = command_line.main(["status", "--repository", str(repository), "--address", "[::1]:1"])
    printed, errors = capsys.readouterr()
    assert code == 1
    assert printed == f"no server of {repository} was started by: python -m serving up\n"
    assert errors == "error: no model server answers at [::1]:1; start one: python -m serving up\n"


def test_the_usual_address_is_asked_where_no_server_is_recorded(tmp_path):
    assert server_status.address(tmp_path) == "localhost:8500"


def test_a_configuration_that_is_none_is_named(tmp_path):
    with pytest.raises(UserError, match=r"^cannot read \S+/models.config: No such file"):
        server_status.names(tmp_path / "models.config")
    (tmp_path / "models.config").write_text("model_config_list {")
    with pytest.raises(UserError, match=r"^\S+/models.config is no ModelServerConfig: "):
        server_status.names(tmp_path / "models.config")
