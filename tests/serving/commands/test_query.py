"""`python -m serving query`: what it prints, and its exit codes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from serving.__main__ import main
from serving.commands import output
from serving.query import ask
from tests.serving.certificates import certified, encrypted
from tests.serving.engines.test_record import record
from tests.serving.recording import Recorder, bare_server, echoed, signatures

ROOT = Path(__file__).resolve().parent.parent.parent.parent


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setattr(output.console, "width", 500)


@pytest.fixture
def run(capsys):
    """Runs a command and returns its exit code, what it printed and its errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
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


def test_a_query_may_name_a_version_and_wait_for_it(asked, address, tmp_path):
    file = draw(tmp_path / "1.png")
    assert asked("query", "brightness", file, "--version", 1, "--wait", 5)[0] == 0
    for wait in ((), ("--wait", 0.2)):
        code, printed, errors = asked("query", "brightness", file, "--version", 2, *wait)
        assert (code, printed) == (1, "")
        assert errors == (
            f"error: brightness version 2 is not served at {address}, only 1; deploy it: "
            "python -m serving deploy brightness --version 2\n"
        )


def test_texts_are_answered_in_a_table(asked, tmp_path):
    code, printed, errors = asked("query", "echo", "--text", "[b]one[/b]", "--text", "two")
    assert (code, errors) == (0, "")
    assert rows(printed) == [["text", "text"], ["[b]one[/b]", "[b]one[/b]"], ["two", "two"]]
    (tmp_path / "texts.txt").write_text("one\n\ntwo\n")
    code, printed, _ = asked("query", "vocabulary", tmp_path / "texts.txt")
    assert code == 0
    assert rows(printed) == [["text", "numbers"], ["one", "1"], ["two", "2"]]


def test_an_empty_text_file_has_no_answers(asked, tmp_path):
    (tmp_path / "texts.txt").write_text("\n")
    assert asked("query", "echo", tmp_path / "texts.txt") == (0, "", "")


def test_json_lines_are_answered_in_lines(asked, tmp_path):
    file = tmp_path / "requests.jsonl"
    file.write_text("".join(f'{{"x": [{number}, 1]}}\n' for number in range(200)))
    code, printed, errors = asked("query", "half_plus_two", "--json", file, "--concurrency", 16)
    assert (code, errors) == (0, "")
    assert [json.loads(line) for line in printed.splitlines()] == [
        {"y": [number / 2 + 2, 2.5]} for number in range(200)
    ]


def test_json_lines_come_from_the_standard_input(asked, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO('{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n'))
    code, printed, _ = asked(
        "query", "sum_and_difference", "--json", "-", "--signature", "only_sum", "--version", 1
    )
    assert (code, printed) == (0, '{"sum": 3.0}\n{"sum": 7.0}\n')


def test_answers_before_a_bad_line_are_printed(asked, tmp_path):
    file = tmp_path / "requests.jsonl"
    file.write_text('1\n2\n\n"three"\n4\n')
    code, printed, errors = asked("query", "half_plus_two", "--json", file)
    assert (code, printed) == (2, '{"y": 2.5}\n{"y": 3.0}\n')
    assert errors == 'error: line 4, input x, must hold float32, not "three"\n'


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--json", "gone.jsonl"], "cannot read gone.jsonl: No such file or directory"),
        (["--json", "."], "cannot read .: Is a directory"),
        (["gone.txt"], "cannot read gone.txt: No such file or directory"),
        (["--json", "-", "--picture", "a.png"], "--picture draws images, and --json has none"),
        (["--text", "a", "--picture", "a.png"], "--picture draws images, not texts"),
        (["a.txt", "b.png"], "there is no file a.txt; a text is given by --text"),
    ],
)
def test_choices_that_cannot_work_are_refused_in_a_sentence(
    asked, tmp_path, monkeypatch, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    assert asked("query", "echo", *arguments) == (2, "", f"error: {sentence}\n")


def test_json_lines_must_be_text(asked, tmp_path, monkeypatch):
    (tmp_path / "requests.jsonl").write_bytes(b"\xff\xfe")
    code, _, errors = asked("query", "echo", "--json", tmp_path / "requests.jsonl")
    assert code == 2
    assert "requests.jsonl is not text in UTF-8" in errors
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), "utf-8"))
    code, _, errors = asked("query", "echo", "--json", "-")
    assert code == 2
    assert "the standard input is not text in UTF-8" in errors


def test_a_query_may_name_a_label(asked, address):
    code, _, errors = asked("query", "echo", "--text", "a", "--label", "canary")
    assert code == 1
    assert errors == (
        f"error: echo has no canary at {address}; deploy one: python -m serving deploy echo "
        "--version N\n"
    )


@pytest.mark.parametrize("kind", ["images", "json"])
def test_a_terminal_shows_the_progress_and_a_file_only_answers(address, tmp_path, kind):
    """The bar goes to the terminal of the standard error, the answers to the standard output."""
    (tmp_path / "requests.jsonl").write_text('{"x": 1}\n' * 3)
    about = {
        "images": ["brightness", str(draw(tmp_path / "1.png"))],
        "json": ["half_plus_two", "--json", str(tmp_path / "requests.jsonl")],
    }[kind]
    ours, theirs = os.openpty()
    process = subprocess.run(
        [sys.executable, "-m", "serving", "query", *about, "--address", address],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        timeout=60,
    )
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        shown = terminal.read(100_000).decode()
    assert process.returncode == 0
    assert "answers" in shown
    assert ("3/3" if kind == "json" else "1/1") in shown
    assert "answers" not in process.stdout
    if kind == "json":
        assert process.stdout == '{"y": 2.5}\n' * 3


def test_a_reader_that_stops_reading_is_no_error_to_speak_of(address, tmp_path):
    (tmp_path / "requests.jsonl").write_text('{"x": 1}\n' * 5000)
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "serving", "query", "half_plus_two"),
            *("--json", str(tmp_path / "requests.jsonl"), "--address", address),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == '{"y": 2.5}\n'
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_what_cannot_be_answered_is_said_with_what_to_do(asked, address, tmp_path):
    file = draw(tmp_path / "1.png")
    code, printed, errors = asked("query", "nobody", file)
    assert (code, printed) == (1, "")
    assert errors == (
        f"error: nobody is not served at {address}; deploy it: python -m serving deploy nobody\n"
    )
    file.write_bytes(b"no image at all")
    code, printed, errors = asked("query", "brightness", file)
    assert (code, printed) == (2, "")
    assert errors == f"error: {file} is no image: it begins with b'no image at all'\n"


def test_files_that_are_converted_are_said(asked, tmp_path):
    files = [draw(tmp_path / name) for name in ("1.png", "2.webp", "3.tif", "4.tif")]
    code, printed, _ = asked("query", "brightness", *files)
    assert code == 0
    assert [row[1] for row in rows(printed)[1:]] == ["bright"] * 4
    assert printed.endswith("converted to PNG, as models take it: 2 TIFF, 1 WEBP\n")


def test_what_cannot_work_is_refused_before_anyone_is_asked(run, tmp_path):
    gone = tmp_path / "gone.png"
    code, printed, errors = run("query", "brightness", gone, "--address", "127.0.0.1:1")
    assert (code, printed, errors) == (
        2,
        "",
        f"error: there is no file {gone}; a text is given by --text\n",
    )


@pytest.mark.parametrize(
    "command",
    [["query", "m", "FILE"], ["query", "m", "FILE", "--wait", "0.3"]],
    ids=["query", "wait"],
)
def test_without_a_server_one_sentence_says_how_to_start_one(run, tmp_path, command):
    file = draw(tmp_path / "1.png")
    arguments = [str(file) if word == "FILE" else word for word in command]
    code, printed, errors = run(*arguments, "--address", "127.0.0.1:1")
    assert (code, printed) == (1, "")
    assert errors == (
        "error: no model server answers at 127.0.0.1:1; start one: python -m serving up\n"
    )


def test_a_query_asks_the_server_that_up_has_started(run, address, tmp_path):
    port = int(address.rpartition(":")[2])
    record(tmp_path, port=port)
    code, printed, errors = run("query", "echo", "--text", "one", "--repository", tmp_path)
    assert (code, errors) == (0, "")
    assert "one" in printed
    record(tmp_path, port=1)
    code, _, errors = run("query", "echo", "--text", "one", "--repository", tmp_path)
    assert code == 1
    assert errors.startswith("error: no model server answers at localhost:1; start one")


def test_an_encrypted_server_is_asked_with_the_files_that_are_named(run, tmp_path):
    authority = certified("authority")
    client = certified("client", authority)
    for name, content in [
        ("authority.pem", authority.certificate),
        ("client.pem", client.certificate),
        ("client.key", client.key),
    ]:
        (tmp_path / name).write_bytes(content)
    recorder = Recorder(
        GetModelMetadata=signatures(serving_default={"x": "string"}),
        Predict=echoed,
    )
    credentials = encrypted(certified("models", authority), clients=authority)
    with bare_server(recorder, credentials=credentials) as address:
        code, printed, errors = run(
            *("query", "m", "--text", "a word", "--address", address, "--server_name", "models"),
            *("--root_certificates", tmp_path / "authority.pem"),
            *("--certificate", tmp_path / "client.pem", "--key", tmp_path / "client.key"),
        )
        assert (code, errors) == (0, "")
        assert "a word" in printed
        code, _, errors = run(
            *("query", "m", "--text", "a word", "--address", address, "--certificate", "gone.pem")
        )
    assert code == 2
    assert errors == "error: a client's certificate and its key go together; one is missing\n"


def test_ctrl_c_ends_a_query_whose_answers_do_not_come(address):
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "serving", "query", "count", "--json", "-"),
            *("--address", address, "--timeout", "100"),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    lines = [*(["1\n"] * 8), *([f"{2**61}\n"] * 4)]
    process.stdin.writelines(lines)
    process.stdin.flush()
    # The first answer shows that the query is under way.
    assert process.stdout.readline() == '{"counted": 1}\n'
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "interrupted\n")


def test_an_interruption_ends_without_a_traceback(run, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ask, "images", interrupt)
    assert run("query", "m", tmp_path) == (130, "", "interrupted\n")
