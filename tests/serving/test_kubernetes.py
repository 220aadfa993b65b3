"""The manifests keep to Kubernetes' schemas, before and after the overlays, and agree.

Overlays are applied here, as there is no `kubectl` that a test could rely on: resources, images,
replicas and JSON6902 patches, which is all that they use.

An InferenceService is not one of Kubernetes' own resources and no installed package has its schema.
So the one below is this project's, from KServe's API reference for v1beta1: of its fields those
that the manifest may use, and no others. The container inside is checked by Kubernetes' schema.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import jsonpatch
import jsonschema
import kubernetes_validate
import pytest
import yaml

from serving.engines import images
from serving.engines.engine import MODELS_CONFIG, MONITORING_CONFIG, Engine
from serving.engines.ports import free_port
from serving.server import flags

FOLDER = Path(__file__).resolve().parent.parent.parent / "serving" / "kubernetes"
OVERLAYS = ["cpu", "gpu"]
# The first in which all that is used here needs no feature gate, and the newest one known.
VERSIONS = ["1.30", kubernetes_validate.latest_version()]
INFERENCE_SERVICE = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "serving.kserve.io/v1beta1"},
        "kind": {"const": "InferenceService"},
        "metadata": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$"},
                "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
        "spec": {
            "type": "object",
            "required": ["predictor"],
            "additionalProperties": False,
            "properties": {
                "predictor": {
                    "type": "object",
                    "required": ["model"],
                    "additionalProperties": False,
                    "properties": {
                        "minReplicas": {"type": "integer", "minimum": 0},
                        "maxReplicas": {"type": "integer", "minimum": 0},
                        "scaleMetric": {"enum": ["cpu", "memory", "concurrency", "rps"]},
                        "scaleTarget": {"type": "integer"},
                        "containerConcurrency": {"type": "integer", "minimum": 0},
                        "timeout": {"type": "integer"},
                        "canaryTrafficPercent": {"type": "integer", "minimum": 0, "maximum": 100},
                        "model": {
                            "type": "object",
                            "required": ["modelFormat", "storageUri"],
                            "additionalProperties": False,
                            "properties": {
                                "modelFormat": {
                                    "type": "object",
                                    "required": ["name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "name": {"const": "tensorflow"},
                                        "version": {"type": "string"},
                                    },
                                },
                                "runtime": {"type": "string"},
                                "runtimeVersion": {"type": "string"},
                                "protocolVersion": {"enum": ["v1", "v2", "grpc-v1", "grpc-v2"]},
                                "storageUri": {
                                    "type": "string",
                                    "pattern": "^(pvc|gs|s3|https|hdfs)://[^/]+/.+",
                                },
                                # Checked as a container's.
                                "ports": {"type": "array"},
                                "resources": {"type": "object"},
                            },
                        },
                    },
                }
            },
        },
    },
}


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def matches(target: dict[str, str], resource: dict[str, Any]) -> bool:
    assert set(target) == {"kind", "name"}
    return (resource["kind"], resource["metadata"]["name"]) == (target["kind"], target["name"])


def tagged(image: str, rules: list[dict[str, str]]) -> str:
    for rule in rules:
        assert set(rule) == {"name", "newTag"}
        if image.partition(":")[0] == rule["name"]:
            return f"{rule['name']}:{rule['newTag']}"
    return image


def build(folder: Path) -> list[dict[str, Any]]:
    """Returns the resources that a kustomization makes, as `kubectl kustomize` prints them."""
    (kustomization,) = documents(folder / "kustomization.yaml")
    assert kustomization.pop("apiVersion") == "kustomize.config.k8s.io/v1beta1"
    assert kustomization.pop("kind") == "Kustomization"
    assert set(kustomization) <= {"resources", "images", "replicas", "patches"}
    resources = [
        resource
        for name in kustomization["resources"]
        for resource in (
            build(folder / name) if (folder / name).is_dir() else documents(folder / name)
        )
    ]
    for patch in kustomization.get("patches", []):
        operations = yaml.safe_load(patch["patch"])
        places = [i for i, each in enumerate(resources) if matches(patch["target"], each)]
        assert places, f"no resource is {patch['target']}"
        for i in places:
            resources[i] = jsonpatch.apply_patch(resources[i], operations)
    for resource in resources:
        for rule in kustomization.get("replicas", []):
            if resource["kind"] == "Deployment" and resource["metadata"]["name"] == rule["name"]:
                resource["spec"]["replicas"] = rule["count"]
        if resource["kind"] == "Deployment":
            for container in resource["spec"]["template"]["spec"]["containers"]:
                container["image"] = tagged(container["image"], kustomization.get("images", []))
    return resources


def one(resources: list[dict[str, Any]], kind: str, name: str = "model-server") -> dict[str, Any]:
    (found,) = [each for each in resources if matches({"kind": kind, "name": name}, each)]
    return found


def pod(resources: list[dict[str, Any]]) -> dict[str, Any]:
    return one(resources, "Deployment")["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def base() -> list[dict[str, Any]]:
    return build(FOLDER / "base")


@pytest.fixture(scope="module")
def container(base) -> dict[str, Any]:
    (only,) = pod(base)["containers"]
    return only


@pytest.fixture(scope="module")
def given(container) -> dict[str, str]:
    """The model server's flags."""
    return dict(flag.removeprefix("--").split("=", 1) for flag in container["args"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("folder", ["base", "overlays/cpu", "overlays/gpu"])
def test_resources_keep_to_the_schemas(folder, version):
    resources = build(FOLDER / folder)
    assert sorted(resource["kind"] for resource in resources) == [
        *("ConfigMap", "Deployment", "HorizontalPodAutoscaler", "PersistentVolumeClaim"),
        *("Service", "Service"),
    ]
    for resource in resources:
        kubernetes_validate.validate(resource, version, strict=True)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", "/spec/template/spec/containers/0/argument", []),
        ("Deployment", "/spec/template/spec/containers/0/startupProbe/grpc/port", "grpc"),
        ("Service", "/spec/ports/0/port", "all"),
        ("HorizontalPodAutoscaler", "/spec/maxReplicas", None),
    ],
)
def test_the_schemas_refuse_what_is_wrong(base, kind, path, value):
    broken = jsonpatch.apply_patch(
        one(base, kind), [{"op": "add", "path": path, "value": value}]
    )  # fmt: skip
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


def test_every_file_is_one_of_a_kustomization_or_kserves():
    files = {path for path in FOLDER.rglob("*") if path.is_file()}
    (kustomization,) = documents(FOLDER / "base" / "kustomization.yaml")
    assert files == {
        *(FOLDER / "base" / name for name in ("kustomization.yaml", *kustomization["resources"])),
        *(FOLDER / "overlays" / name / "kustomization.yaml" for name in OVERLAYS),
        FOLDER / "kserve" / "inference-service.yaml",
    }


def test_the_gpu_overlay_asks_for_a_gpu_and_for_a_node_that_has_one():
    spec = pod(build(FOLDER / "overlays/gpu"))
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert spec["containers"][0]["image"] == images.tensorflow_serving(gpu=True)
    assert spec["nodeSelector"]["nvidia.com/gpu.present"] == "true"
    assert [each["key"] for each in spec["tolerations"]] == ["nvidia.com/gpu"]


def test_the_cpu_overlay_asks_for_no_gpu():
    resources = build(FOLDER / "overlays/cpu")
    assert "nvidia" not in yaml.safe_dump_all(resources)
    assert pod(resources)["containers"][0]["image"] == images.tensorflow_serving(gpu=False)


def test_the_overlays_leave_all_else_as_it_is(base):
    for name in OVERLAYS:
        resources = copy.deepcopy(build(FOLDER / "overlays" / name))
        args = pod(resources)["containers"][0]["args"]
        assert args == pod(base)["containers"][0]["args"]
        assert one(resources, "ConfigMap") == one(base, "ConfigMap")
        assert one(resources, "Service") == one(base, "Service")


def test_every_tag_is_a_pinned_one():
    pinned = {image.partition(":")[2] for image in images.read().values()}
    tag = re.compile(r"\bv?\d+\.\d+\.\d+(?:-\w+)*")
    found = [
        (path.name, name)
        for path in FOLDER.rglob("*.yaml")
        for name in tag.findall(path.read_text())
    ]
    assert {file for file, _ in found} == {"kustomization.yaml", "inference-service.yaml"}
    assert {name for _, name in found} <= pinned


def test_flags_are_those_that_there_are(container, given):
    assert container["command"] == ["tensorflow_model_server"]
    assert set(given) <= set(flags.Flags.__dataclass_fields__)
    parsed = flags.parse(container["args"])
    assert parsed.enable_grpc_healthcheck_service
    assert flags.channel_options(parsed.grpc_channel_arguments)


def test_flags_are_those_of_the_engines(given, tmp_path):
    repository = tmp_path / "models"
    repository.mkdir()
    (repository / MODELS_CONFIG).touch()
    echo = Engine("binary", "it prints its flags", ("/bin/echo",))
    log = tmp_path / "flags"
    running = echo.start(repository, port=free_port(), rest_port=free_port(), log=log)
    assert running.process
    running.process.wait(30)
    asked = dict(flag.removeprefix("--").split("=", 1) for flag in log.read_text().split())
    own = {"port", "rest_api_port"}
    files = {"model_config_file", "monitoring_config_file"}
    assert set(asked) <= set(given)
    assert {name: given[name] for name in set(asked) - own - files} == {
        name: value for name, value in asked.items() if name not in own | files
    }
    assert {name: Path(given[name]).name for name in files} == {
        name: Path(asked[name]).name for name in files
    }


def test_files_that_flags_name_lie_on_what_is_mounted(base, container, given):
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod(base)["volumes"]}
    assert set(mounts) == set(volumes)
    repository = volumes["repository"]["persistentVolumeClaim"]
    assert repository == {"claimName": "model-repository", "readOnly": True}
    one(base, "PersistentVolumeClaim", repository["claimName"])
    assert Path(given["model_config_file"]).parent == Path(mounts["repository"]["mountPath"])
    assert (
        f"--repository {mounts['repository']['mountPath']}\n"
        in (FOLDER / "base" / "deployment.yaml").read_text()
    )
    monitoring = Path(given["monitoring_config_file"])
    assert monitoring.parent == Path(mounts["configuration"]["mountPath"])
    configuration = one(base, "ConfigMap", volumes["configuration"]["configMap"]["name"])
    assert configuration["data"][monitoring.name] == MONITORING_CONFIG.read_text()
    assert mounts["repository"]["readOnly"]
    assert mounts["configuration"]["readOnly"]


def test_ports_agree(base, container, given):
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": int(given["port"]), "rest": int(given["rest_api_port"])}
    for service in (each for each in base if each["kind"] == "Service"):
        for port in service["spec"]["ports"]:
            assert port["port"] == ports[port["targetPort"]]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"]["port"] == ports["grpc"]
    annotations = one(base, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(ports["rest"])
    path = annotations["prometheus.io/path"]
    assert f'path: "{path}"' in MONITORING_CONFIG.read_text()


def test_what_selects_the_pods_finds_them(base):
    deployment = one(base, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    for name in ("model-server", "model-server-rest"):
        assert one(base, "Service", name)["spec"]["selector"].items() <= labels.items()
    scaled = one(base, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert scaled["name"] == deployment["metadata"]["name"]


def test_the_service_for_grpc_is_headless_and_that_for_rest_is_not(base):
    assert one(base, "Service")["spec"]["clusterIP"] == "None"
    assert "clusterIP" not in one(base, "Service", "model-server-rest")["spec"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_number_of_replicas_is_the_autoscalers(overlay):
    resources = build(FOLDER / "overlays" / overlay)
    assert "replicas" not in one(resources, "Deployment")["spec"]
    scaler = one(resources, "HorizontalPodAutoscaler")["spec"]
    assert 1 <= scaler["minReplicas"] < scaler["maxReplicas"]
    (metric,) = scaler["metrics"]
    # A share of the processors is one of those that are requested.
    requests = pod(resources)["containers"][0]["resources"]["requests"]
    assert metric["type"] == {"cpu": "Resource", "gpu": "Pods"}[overlay]
    assert requests["cpu"]


def test_a_replica_that_goes_has_lost_its_clients_before(base, container, given):
    options = dict(flags.channel_options(given["grpc_channel_arguments"]))
    # gRPC draws each connection's age up to a tenth longer.
    age = 1.1 * int(options["grpc.max_connection_age_ms"]) / 1000
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert age < pause < pod(base)["terminationGracePeriodSeconds"]
    # Process 1 ignores SIGTERM.
    assert pod(base)["shareProcessNamespace"]


def test_models_may_load_for_minutes_before_a_probe_gives_up(base, container):
    startup = container["startupProbe"]
    allowed = startup["periodSeconds"] * startup["failureThreshold"]
    assert allowed >= 300
    assert one(base, "Deployment")["spec"]["progressDeadlineSeconds"] > allowed
    patience = {
        name: container[name]["periodSeconds"] * container[name]["failureThreshold"]
        for name in ("readinessProbe", "livenessProbe")
    }
    assert patience["readinessProbe"] < patience["livenessProbe"]


def test_the_container_may_do_little(base, container):
    assert pod(base)["securityContext"]["runAsNonRoot"]
    assert pod(base)["securityContext"]["runAsUser"] > 0
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.fixture(scope="module")
def inference_service() -> dict[str, Any]:
    (only,) = documents(FOLDER / "kserve" / "inference-service.yaml")
    return only


def test_the_inference_service_keeps_to_its_schema(inference_service):
    jsonschema.Draft202012Validator.check_schema(INFERENCE_SERVICE)
    jsonschema.validate(inference_service, INFERENCE_SERVICE)
    model = inference_service["spec"]["predictor"]["model"]
    wrapped = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "predictor"},
        "spec": {
            "containers": [
                {
                    "name": "kserve-container",
                    "ports": model["ports"],
                    "resources": model["resources"],
                }
            ]
        },
    }
    for version in VERSIONS:
        kubernetes_validate.validate(wrapped, version, strict=True)


def test_the_inference_services_schema_refuses_what_is_wrong(inference_service):
    for path, value in [
        ("/spec/predictor/model/modelformat", {"name": "tensorflow"}),
        ("/spec/predictor/model/storageUri", "models/digits"),
        ("/metadata/name", "Digits_1"),
    ]:
        patch = [{"op": "add", "path": path, "value": value}]
        broken = jsonpatch.apply_patch(inference_service, patch)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, INFERENCE_SERVICE)


def test_the_inference_service_reads_the_repositorys_claim_with_a_pinned_image(
    base, inference_service
):
    model = inference_service["spec"]["predictor"]["model"]
    scheme, _, rest = model["storageUri"].partition("://")
    claim, _, name = rest.partition("/")
    assert scheme == "pvc"
    one(base, "PersistentVolumeClaim", claim)
    # The resource's name is the model's.
    assert name == inference_service["metadata"]["name"]
    image = images.tensorflow_serving(gpu=False)
    assert model["runtimeVersion"] == image.partition(":")[2]
    assert [port["containerPort"] for port in model["ports"]] == [9000]
