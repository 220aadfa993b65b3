"""What is said about known vulnerabilities, and when that is a failure."""

from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace

import pytest

from tests import audit

SKIPPED = {"name": "yarl", "skip_reason": "Dependency not found"}
SOUND = {"name": "keras", "version": "3.15.1", "vulns": []}
VULNERABLE = {
    "name": "wrapt",
    "version": "2.5.2",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.5.3"]}, {"id": "PYSEC-2", "fix_versions": []}],
}


@pytest.mark.parametrize(
    ("said", "code", "printed"),
    [
        ("", 0, audit._UNKNOWN),
        ("no JSON", 0, audit._UNKNOWN),
        (json.dumps({"dependencies": [SKIPPED, SKIPPED]}), 0, audit._UNKNOWN),
        (
            *(json.dumps({"dependencies": [SKIPPED, SOUND]}), 0),
            "1 of 2 packages looked up, 0 known vulnerabilities",
        ),
        (
            *(json.dumps({"dependencies": [VULNERABLE, SOUND]}), 1),
            "wrapt 2.5.2: PYSEC-1, mended in 2.5.3\n"
            "wrapt 2.5.2: PYSEC-2, mended in no version yet\n"
            "2 of 2 packages looked up, 2 known vulnerabilities",
        ),
    ],
    ids=["nothing", "no JSON", "an empty registry", "sound", "vulnerable"],
)
def test_only_a_known_vulnerability_is_a_failure(monkeypatch, capsys, said, code, printed):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=said))
    assert audit.main() == code
    assert capsys.readouterr().out == printed + "\n"


def test_a_registry_without_an_end_is_not_waited_for(monkeypatch, capsys):
    def late(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", late)
    assert audit.main() == 0
    assert capsys.readouterr().out == audit._UNKNOWN + "\n"
