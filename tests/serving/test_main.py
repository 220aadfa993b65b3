"""`python -m serving query | status`: what it prints and its exit codes; `deploy` has its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from serving import __main__ as command_line
from serving import query

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setattr(command_line.console, "width", 500)


@pytest.fixture
def run(capsys):
    """Runs a command and returns its exit code, what it printed and its errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = command_line.main([str(argument) for argument in arguments])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def asked(run, address):
    """Runs a command against the server."""
    return lambda *arguments: run(*arguments, "--address", address)


def draw(path: Path, color: str = "white") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 4), color).save(path)
    return path


def rows(printed: str) -> list[list[str]]:
    """Returns the cells of a printed table."""
    return [
        [cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")]
        for line in printed.splitlines()
        if line.startswith(("│", "┃"))
    ]


def test_a_query_prints_an_answer_for_each_file(asked, tmp_path):
    white, black = draw(tmp_path / "1.png"), draw(tmp_path / "2.jpg", "black")
    code, printed, errors = asked("query", "brightness", white, black)
    assert (code, errors) == (0, "")
    assert rows(printed) == [
        ["image", "answer", "probability"],
        [str(white), "bright", "1.0000"],
        [str(black), "dark", "1.0000"],
    ]


def test_a_query_about_a_folder_prints_the_truth_and_draws_the_picture(asked, tmp_path):
    draw(tmp_path / "images/bright/1.png"), draw(tmp_path / "images/bright/2.png", "black")
    picture = tmp_path / "answers.png"
    code, printed, _ = asked("query", "brightness", tmp_path / "images", "--picture", picture)
    assert code == 0
    assert [row[1:] for row in rows(printed)] == [
        ["answer", "probability", "truth"],
        ["bright", "1.0000", "bright"],
        ["dark", "1.0000", "bright"],
    ]
    assert f"picture {picture}" in printed
    with Image.open(picture) as drawn:
        assert drawn.format == "PNG"


def test_names_are_printed_as_they_are(asked, tmp_path):
    """Brackets and colons mean something to the library that prints."""
    strange = draw(tmp_path / "[bold]of [/red] :smile:.png")
    code, printed, _ = asked("query", "brightness", strange)
    assert code == 0
    assert rows(printed)[1][0] == str(strange)


def test_a_query_may_name_a_version_and_wait_for_it(asked, tmp_path):
    file = draw(tmp_path / "1.png")
    assert asked("query", "brightness", file, "--version", 1, "--wait", 5)[0] == 0
    code, printed, errors = asked("query", "brightness", file, "--version", 2)
    assert (code, printed) == (1, "")
    assert errors == "error: Servable not found for request: Specific(brightness, 2)\n"
    code, _, errors = asked("query", "brightness", file, "--version", 2, "--wait", 0.2)
    assert (code, errors) == (1, "error: Could not find version 2 of model brightness\n")


def test_what_the_server_refuses_is_said_in_its_words(asked, tmp_path):
    file = draw(tmp_path / "1.png")
    code, printed, errors = asked("query", "nobody", file)
    assert (code, printed) == (1, "")
    assert errors == "error: Servable not found for request: Latest(nobody)\n"
    file.write_bytes(b"no image at all")
    code, printed, errors = asked("query", "brightness", file)
    assert (code, printed) == (1, "")
    assert errors.startswith("error: Unknown image file format. One of JPEG, ")


def test_what_cannot_work_is_refused_before_anyone_is_asked(run, tmp_path):
    gone = tmp_path / "gone.png"
    code, printed, errors = run("query", "brightness", gone, "--address", "127.0.0.1:1")
    assert (code, printed, errors) == (2, "", f"error: there is no file {gone}\n")


@pytest.mark.parametrize(
    "command",
    [["status", "m"], ["query", "m", "FILE"], ["query", "m", "FILE", "--wait", "0.3"]],
    ids=["status", "query", "wait"],
)
def test_without_a_server_one_sentence_says_how_to_start_one(run, tmp_path, command):
    file = draw(tmp_path / "1.png")
    arguments = [str(file) if word == "FILE" else word for word in command]
    code, printed, errors = run(*arguments, "--address", "127.0.0.1:1")
    assert (code, printed) == (1, "")
    assert errors == ("error: no model server answers at 127.0.0.1:1; start one with: make serve\n")


def test_the_status_has_a_line_for_each_version(asked):
    assert asked("status", "half_plus_two") == (0, "half_plus_two version 1 AVAILABLE\n", "")
    code, printed, errors = asked("status", "nobody")
    assert (code, printed) == (1, "")
    assert errors == "error: Could not find any versions of model nobody\n"


def test_the_status_prints_the_error_of_a_version_as_it_is(run, repository, tmp_path, monkeypatch):
    from serving.client import Client
    from serving.errors import ServingError
    from serving.server.versions import Model
    from tests.serving.saved_models import publish, serving

    base = tmp_path / "m"
    base.mkdir()
    publish(repository / "half_plus_two" / "1", base, 1)
    with serving(Model("m", base)) as address, Client(address) as client:
        broken = publish(repository / "half_plus_two" / "1", tmp_path, 2)
        (broken / "variables" / "variables.data-00000-of-00001").write_bytes(b"")
        broken.rename(base / "2")
        with pytest.raises(ServingError):
            client.wait_until_ready("m", version=2)
        monkeypatch.setattr(command_line.console, "width", 40)
        _, printed, _ = run("status", "m", "--address", address)
    first, second, third = printed.splitlines()
    assert first == "m version 2 END Read less bytes than requested"
    assert second.strip().startswith("[[{{")
    assert second.endswith("{{node RestoreV2}}]]")
    assert third == "m version 1 AVAILABLE"


def test_an_interruption_ends_without_a_traceback(run, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(query, "images", interrupt)
    assert run("query", "m", tmp_path) == (130, "", "interrupted\n")


@pytest.mark.parametrize(
    "arguments", [[], ["serve"], ["query", "m"], ["status", "m", "--timeout", "soon"]]
)
def test_a_command_line_that_cannot_be_read_shows_the_usage(run, capsys, arguments):
    with pytest.raises(SystemExit) as raised:
        run(*arguments)
    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m serving")


def test_the_exit_code_is_the_processes_own(tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "serving", "status", "m", "--address", "127.0.0.1:1"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr.count("\n") == 1
    assert "start one with: make serve" in process.stderr
