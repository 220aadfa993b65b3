"""The models of a repository: the latest version of each, with a request of its own."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import recorded, systems
from benchmarks.__main__ import main
from benchmarks.recorded import Recorded
from serving.errors import UserError
from tests.serving import rollouts


def test_the_latest_version_of_each_model_is_measured(tmp_path):
    for name, number in (("halves", 9), ("halves", 10), ("silent", 1)):
        (tmp_path / "models" / name / str(number)).mkdir(parents=True)
    version = tmp_path / "models" / "halves" / "10"
    rollouts.record_golden(version, 0.5, 2.0)
    (model,) = recorded.models(tmp_path / "models")
    assert (model.name, model.version) == ("halves", version)
    base = tmp_path / "base"
    base.mkdir()
    assert model.path(base).samefile(version)
    assert model.path(base) == base / "halves" / "1"
    assert {name: len(array) for name, array in model.feeds(5).items()} == {"x": 5}


def test_texts_are_sent_as_bytes(tmp_path):
    model = Recorded("era", tmp_path, {"text": np.array([b"\xff", b"a"], object)})
    assert json.loads(systems._columns(model, 1)) == {"inputs": {"text": [{"b64": "/w=="}]}}


def test_a_repository_without_recorded_requests_is_a_users_error(tmp_path):
    with pytest.raises(UserError, match=r"no model in .* has recorded requests to serving_default"):
        recorded.models(tmp_path / "nowhere")


def test_the_experiment_needs_a_repository(capsys):
    assert main(["serving", "--only", "repository"]) == 2
    assert capsys.readouterr().err == (
        "error: the experiment repository needs --repository FOLDER\n"
    )
