"""The page of symptoms quotes messages that commands really print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
# In the first cells of the tables: what is quoted.
QUOTED = [
    quoted
    for line in PAGE.splitlines()
    if line.startswith("| ")
    for quoted in re.findall(r"`([^`]+)`", line.split(" | ")[0])
]


@pytest.fixture(scope="module")
def code() -> str:
    """All source, in which strings that are continued on another line are joined."""
    files = (path for name in ("pipelines", "serving") for path in (ROOT / name).rglob("*.py"))
    text = "\n".join(path.read_text() for path in sorted(files))
    return re.sub(r'"\s*\n\s*f?"', "", text)


@pytest.mark.parametrize("message", QUOTED)
def test_a_message_is_one_of_the_code(message, code):
    assert message in code


def test_there_are_messages():
    assert len(QUOTED) > 12


def test_options_are_those_of_the_commands():
    from pipelines.config import Config
    from serving.__main__ import parsers

    known = {"--version", "--host", "--port", "--model_base_path", "--grpc_max_threads"}
    known |= {f"--{name}" for name in (*Config().parameters(), "find_learning_rate")}
    known |= {"--enable_batching"}
    known |= {
        option for command in parsers()[1].values() for option in command._option_string_actions
    }
    assert set(re.findall(r"--[a-z_.]+", PAGE)) <= known
