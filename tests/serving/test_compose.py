"""The Compose file keeps to its schema, reserves a GPU, and pins its images once."""

from __future__ import annotations

import importlib.resources
import json
import re
from pathlib import Path

import pytest
import yaml

from serving import images

jsonschema = pytest.importorskip("jsonschema")
pytest.importorskip("check_jsonschema")

FOLDER = Path(__file__).resolve().parent.parent.parent / "serving" / "docker"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def validator():
    file = (
        importlib.resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    )
    schema = json.loads(file.read_text())
    return jsonschema.validators.validator_for(schema)(schema)


def test_the_file_keeps_to_the_schema(validator):
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []


def test_the_schema_refuses_what_is_wrong(validator):
    broken = {**COMPOSE, "services": {"model-server": {"image": 1, "gpu": True}}}
    assert not validator.is_valid(broken)


def test_a_gpu_is_reserved():
    resources = COMPOSE["services"]["model-server"]["deploy"]["resources"]
    (device,) = resources["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


def test_every_image_comes_from_the_pinned_ones():
    pinned = images.read()
    assert all(re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*", image) for image in pinned.values())
    for service in COMPOSE["services"].values():
        variable = re.fullmatch(r"\$\{(\w+):\?see \.env\}", service["image"])
        assert variable
        assert variable[1] in pinned


def test_no_tag_stands_anywhere_else():
    tags = "|".join(re.escape(image) for image in images.read().values())
    folder = FOLDER.parent
    files = [
        path
        for path in folder.rglob("*")
        if path.is_file() and path != images.FILE and path.suffix in (".py", ".yaml", ".yml")
    ]
    assert files
    assert [path for path in files if re.search(tags, path.read_text())] == []
