"""The Compose files keep to their schema, start in order, hold no secret and pin images once."""

from __future__ import annotations

import importlib.resources
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from mlflow.server import security_utils

from serving.engines import images
from serving.engines.engine import MAX_THREADS, MODELS_CONFIG, MONITORING_CONFIG, POLL_SECONDS
from serving.server import flags

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "serving" / "docker"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
GPU = yaml.safe_load((FOLDER / "compose.gpu.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# What whoever starts it has to say.
REQUIRED = {"REPOSITORY", "POSTGRES_PASSWORD"}
# What has a default.
OPTIONAL = {"LISTEN_ADDRESS"}
VARIABLE = re.compile(r"\$\{(\w+)(:[?-][^}]+)?\}")


@pytest.fixture(scope="module")
def validator():
    file = (
        importlib.resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    )
    schema = json.loads(file.read_text())
    return jsonschema.validators.validator_for(schema)(schema)


@pytest.mark.parametrize("file", [COMPOSE, GPU], ids=["compose", "gpu"])
def test_a_file_keeps_to_the_schema(validator, file):
    assert [error.message for error in validator.iter_errors(file)] == []


def test_the_schema_refuses_what_is_wrong(validator):
    broken = {**COMPOSE, "services": {"model-server": {"image": 1, "gpu": True}}}
    assert not validator.is_valid(broken)


def test_only_the_file_for_gpus_reserves_some():
    assert not any("deploy" in service for service in SERVICES.values())
    assert list(GPU["services"]) == ["model-server"]
    service = GPU["services"]["model-server"]
    assert set(service) == {"image", "deploy"}
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}


def test_the_model_server_gets_flags_that_there_are_and_the_engines_values():
    command = SERVICES["model-server"]["command"]
    given = dict(flag.removeprefix("--").split("=", 1) for flag in command)
    assert set(given) <= set(flags.Flags.__dataclass_fields__)
    assert given["grpc_max_threads"] == str(MAX_THREADS)
    assert given["model_config_file_poll_wait_seconds"] == str(POLL_SECONDS)
    assert Path(given["model_config_file"]).name == MODELS_CONFIG
    mounts = {mount["target"]: mount for mount in SERVICES["model-server"]["volumes"]}
    source = FOLDER / mounts[given["monitoring_config_file"]]["source"]
    assert source.resolve() == MONITORING_CONFIG
    assert all(mount["read_only"] for mount in mounts.values())


def test_who_waits_for_a_service_waits_until_it_is_healthy():
    waited_for = [
        (name, condition["condition"])
        for service in SERVICES.values()
        for name, condition in service.get("depends_on", {}).items()
    ]
    assert {name for name, _ in waited_for} == {"model-server", "postgres"}
    for name, condition in waited_for:
        assert condition == "service_healthy"
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_bound_files_are_there_and_named_volumes_declared():
    mounts = [mount for service in SERVICES.values() for mount in service["volumes"]]
    named = {mount["source"] for mount in mounts if mount["type"] == "volume"}
    assert named == set(COMPOSE["volumes"])
    bound = {mount["source"] for mount in mounts if mount["type"] == "bind"} - {"${REPOSITORY}"}
    assert bound
    assert all((FOLDER / source).is_file() for source in bound)


def test_every_variable_is_pinned_or_must_be_given():
    texts = [(FOLDER / name).read_text() for name in ("compose.yaml", "compose.gpu.yaml")]
    found = [match for text in texts for match in VARIABLE.finditer(text)]
    assert {match[1] for match in found} == REQUIRED | OPTIONAL | set(images.read())
    # Every dollar is one of theirs, and each variable has a default or says that it is a must.
    assert sum(text.count("${") for text in texts) == len(found)
    assert {match[1] for match in found if match[2]} == {match[1] for match in found}


def test_ports_are_published_on_this_machine_alone_unless_another_address_is_given():
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(ports) >= 4
    assert all(port.startswith(("127.0.0.1:", "${LISTEN_ADDRESS:-127.0.0.1}:")) for port in ports)


def test_no_password_is_written_down():
    environments = [service.get("environment", {}) for service in SERVICES.values()]
    passwords = [value for each in environments for key, value in each.items() if "PASSWORD" in key]
    assert len(passwords) == 2
    assert all(re.fullmatch(r"\$\{POSTGRES_PASSWORD(:\?[^}]+)?\}", value) for value in passwords)
    # `//user:password@host`, in whatever flag.
    assert not re.search(r"//[^/\s]*:[^/\s]*@", (FOLDER / "compose.yaml").read_text())
    assert "PASSWORD" not in images.FILE.read_text()


def test_mlflow_and_postgres_agree_on_user_and_database():
    (uri,) = [
        flag.partition("=")[2]
        for flag in SERVICES["mlflow"]["command"]
        if flag.startswith("--backend-store-uri=")
    ]
    environment = SERVICES["postgres"]["environment"]
    user, database = environment["POSTGRES_USER"], environment["POSTGRES_DB"]
    assert uri == f"postgresql+psycopg2://{user}@postgres:5432/{database}"
    assert f"--username={user}" in SERVICES["postgres"]["healthcheck"]["test"]


def test_mlflow_takes_requests_for_its_own_names_alone():
    (allowed,) = [
        flag.partition("=")[2].split(",")
        for flag in SERVICES["mlflow"]["command"]
        if flag.startswith("--allowed-hosts=")
    ]
    for host in ("mlflow:5000", "localhost:5000", "127.0.0.1:5000"):
        assert security_utils.is_allowed_host_header(allowed, host)
    for host in ("example.com", "example.com:5000", "mlflow.example.com:5000"):
        assert not security_utils.is_allowed_host_header(allowed, host)


def test_mlflow_is_of_the_projects_version_and_built_on_a_pinned_image():
    dockerfile = (FOLDER / "mlflow" / "Dockerfile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (mlflow,) = [need for need in project["dependencies"] if need.startswith("mlflow")]
    installed = re.findall(r"[\w-]+==[\w.]+", dockerfile)
    assert mlflow in installed
    (driver,) = [need for need in installed if need != mlflow]
    assert driver.startswith("psycopg2-binary==")  # Of the version that is tested here.
    assert f"\n{driver} " in (ROOT / "requirements-dev.lock").read_text()
    assert re.findall(r"^FROM (.*)$", dockerfile, re.MULTILINE) == ["${PYTHON_IMAGE}"]
    assert set(SERVICES["mlflow"]["build"]["args"]) == {"PYTHON_IMAGE"}


def test_every_image_comes_from_the_pinned_ones():
    pinned = images.read()
    assert all(re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*", image) for image in pinned.values())
    named = [
        service["image"] for service in (*SERVICES.values(), *GPU["services"].values())
        if "image" in service
    ]  # fmt: skip
    named.append(SERVICES["mlflow"]["build"]["args"]["PYTHON_IMAGE"])
    variables = [re.fullmatch(r"\$\{(\w+):\?see \.env\}", image) for image in named]
    assert {variable[1] for variable in variables if variable} == set(pinned)
    assert all(variables)


def test_no_tag_stands_anywhere_else():
    names = "|".join({re.escape(image.partition(":")[0]) for image in images.read().values()})
    tag = re.compile(rf"\b(?:{names}):v?\d+\.[\w.-]*")
    files = [
        path
        for folder in ("architectures", "benchmarks", "docs", "pipelines", "serving", "tests")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".yaml", ".yml", ".md") or path.name == "Dockerfile"
    ]
    assert len(files) > 100
    assert [path for path in files if tag.search(path.read_text())] == []
