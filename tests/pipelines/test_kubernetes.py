"""The manifests of training keep to Kubernetes' schemas and give each worker its TF_CONFIG.

There is no cluster here: MLflow's own code fills in the template of its back end, with stand-ins
for the clients of Docker and Kubernetes that it imports.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import kubernetes_validate
import pytest
import yaml
from mlflow.projects import _project_spec

import pipelines
from pipelines import catalog, cli, mlproject
from pipelines.training import cluster

FOLDER = Path(pipelines.__file__).parent / "kubernetes"
ROOT = FOLDER.parent.parent
VERSIONS = ["1.30", kubernetes_validate.latest_version()]
SERVICE, JOB, CLAIM = yaml.safe_load_all((FOLDER / "job.yaml").read_text())
CONTAINER = JOB["spec"]["template"]["spec"]["containers"][0]


def validate(resource: dict[str, Any]) -> None:
    for version in VERSIONS:
        kubernetes_validate.validate(resource, version, strict=True)


@pytest.mark.parametrize("resource", [SERVICE, JOB, CLAIM], ids=lambda one: one["kind"])
def test_resources_keep_to_the_schema(resource):
    validate(resource)


def test_a_wrong_field_would_be_found():
    wrong = {**JOB, "spec": {**JOB["spec"], "completionMode": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(wrong)


@pytest.mark.parametrize("index", range(JOB["spec"]["completions"]))
def test_each_pod_is_the_worker_of_its_index(monkeypatch, index):
    assert JOB["spec"]["completionMode"] == "Indexed"
    assert JOB["spec"]["parallelism"] == JOB["spec"]["completions"]
    first, second, *_ = CONTAINER["env"]
    # Kubernetes replaces names of variables that stand before.
    assert "job-completion-index" in first["valueFrom"]["fieldRef"]["fieldPath"]
    text = second["value"].replace(f"$({first['name']})", str(index))
    monkeypatch.setenv(second["name"], text)
    found = cluster.cluster()
    assert found.index == index
    # Of an indexed job, the host name is that of the job and the index.
    host, port = found.workers[index].split(":")
    job, subdomain = JOB["metadata"]["name"], JOB["spec"]["template"]["spec"]["subdomain"]
    assert host == f"{job}-{index}.{subdomain}"
    assert (
        int(port) == CONTAINER["ports"][0]["containerPort"] == SERVICE["spec"]["ports"][0]["port"]
    )
    assert len(found.workers) == JOB["spec"]["completions"]


def test_the_service_gives_names_to_pods_that_are_not_ready():
    assert SERVICE["metadata"]["name"] == JOB["spec"]["template"]["spec"]["subdomain"]
    assert SERVICE["spec"]["clusterIP"] == "None"
    assert SERVICE["spec"]["publishNotReadyAddresses"] is True
    labels = JOB["spec"]["template"]["metadata"]["labels"]
    assert SERVICE["spec"]["selector"].items() <= labels.items()


def test_the_command_is_one_of_a_pipeline():
    assert CONTAINER["command"] == ["python", "-m", "pipelines"]
    name, config = cli.parse(CONTAINER["args"])
    assert name in catalog.PIPELINES
    assert config.strategy == "multi_worker"
    mounted = [volume["mountPath"] for volume in CONTAINER["volumeMounts"]]
    assert config.data_dir in mounted


def test_the_project_for_containers_has_the_same_entry_points():
    assert (FOLDER / "MLproject").read_text() == mlproject.text(mlproject.CONTAINER)
    project = _project_spec.load_project(str(FOLDER))
    assert project.docker_env["image"] == CONTAINER["image"]
    assert project.docker_env["image"].rpartition(":")[2] in (ROOT / "pyproject.toml").read_text()
    own = _project_spec.load_project(str(ROOT))
    assert project._entry_points.keys() == own._entry_points.keys()


def test_mlflow_fills_in_the_template(monkeypatch):
    names = "docker", "kubernetes", "kubernetes.config", "kubernetes.config.config_exception"
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules[names[-1]].ConfigException = Exception  # type: ignore[attr-defined]
    monkeypatch.delitem(sys.modules, "mlflow.projects.kubernetes", raising=False)
    backend = importlib.import_module("mlflow.projects.kubernetes")
    projects = importlib.import_module("mlflow.projects")
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("KUBE_MLFLOW_TRACKING_URI", raising=False)
    config = json.loads((FOLDER / "kubernetes-config.json").read_text())
    config = projects._parse_kubernetes_config(config)
    assert config["repository-uri"]
    entry = _project_spec.load_project(str(FOLDER)).get_entry_point("image_classification")
    command = entry.compute_command({"epochs": "3"}, None)
    job = backend._get_kubernetes_job_definition(
        "keras-foundry",
        config["repository-uri"],
        "sha256:0123",
        backend._get_run_command([command]),
        {"MLFLOW_RUN_ID": "1", "MLFLOW_TRACKING_URI": "http://mlflow:5000"},
        config["kube-job-template"],
    )
    monkeypatch.delitem(sys.modules, "mlflow.projects.kubernetes")
    validate(job)
    assert "replaced by MLflow" not in json.dumps(job)
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["command"][:3] == ["python", "-m", "pipelines"]
    name, parsed = cli.parse(container["command"][3:])
    assert (name, parsed.recipe.epochs) == ("image_classification", 3)
    assert {"name": "MLFLOW_RUN_ID", "value": "1"} in container["env"]


def test_the_image_has_all_packages_of_the_distribution():
    text = (FOLDER / "Dockerfile").read_text()
    for package in ("architectures", "pipelines", "serving"):
        assert f"COPY {package} {package}" in text
    assert CONTAINER["image"] in text
