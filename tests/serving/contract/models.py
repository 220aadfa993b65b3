"""GetModelMetadata, GetModelStatus and what HandleReloadConfigRequest refuses."""

from __future__ import annotations

from typing import Any

from serving.protocol import messages
from tests.serving.contract.cases import METADATA, RELOAD, STATUS, Case, metadata, reload, status

# servables/tensorflow/get_model_metadata_impl.cc
METADATA_CASES = [
    Case(
        "metadata without model_spec",
        METADATA,
        messages.GetModelMetadataRequest(metadata_field=["signature_def"]),
        "INVALID_ARGUMENT",
        "Missing ModelSpec",
    ),
    Case(
        "no metadata field",
        METADATA,
        metadata("half_plus_two", []),
        "INVALID_ARGUMENT",
        "GetModelMetadataRequest must specify at least one metadata_field",
    ),
    Case(
        "no metadata field comes before no model name",
        METADATA,
        metadata("", []),
        "INVALID_ARGUMENT",
        "GetModelMetadataRequest must specify at least one metadata_field",
    ),
    Case(
        "an unknown metadata field",
        METADATA,
        metadata("half_plus_two", ["signature_def", "size"]),
        "INVALID_ARGUMENT",
        "Metadata field size is not supported",
    ),
    Case(
        "metadata of an empty model name",
        METADATA,
        metadata(""),
        "INVALID_ARGUMENT",
        "ModelSpec has no name specified.",
    ),
    Case(
        "metadata of an unknown model",
        METADATA,
        metadata("nobody"),
        "NOT_FOUND",
        "Servable not found for request: Latest(nobody)",
    ),
    Case(
        "metadata of an unknown version",
        METADATA,
        metadata("half_plus_two", version=7),
        "NOT_FOUND",
        "Servable not found for request: Specific(half_plus_two, 7)",
    ),
    Case(
        "metadata of an unknown label",
        METADATA,
        metadata("half_plus_two", label="stable"),
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: stable",
    ),
]

# model_servers/get_model_status_impl.cc
STATUS_CASES = [
    Case(
        "status without model_spec",
        STATUS,
        messages.GetModelStatusRequest(),
        "INVALID_ARGUMENT",
        "Missing ModelSpec",
    ),
    Case(
        "status of an empty model name",
        STATUS,
        status(""),
        "NOT_FOUND",
        "Could not find any versions of model ",
    ),
    Case(
        "status of an unknown model",
        STATUS,
        status("nobody"),
        "NOT_FOUND",
        "Could not find any versions of model nobody",
    ),
    Case(
        "status of an unknown version",
        STATUS,
        status("half_plus_two", version=7),
        "NOT_FOUND",
        "Could not find version 7 of model half_plus_two",
    ),
    Case(
        "status of a version of an unknown model",
        STATUS,
        status("nobody", version=7),
        "NOT_FOUND",
        "Could not find version 7 of model nobody",
    ),
    *(
        Case(
            name,
            STATUS,
            request,
            "OK",
            answer=messages.GetModelStatusResponse(
                model_version_status=[{"version": 1, "state": 30, "status": {}}]
            ),
        )
        for name, request in [
            ("status", status("half_plus_two")),
            ("status of one version", status("half_plus_two", version=1)),
            ("status of a label, which is ignored", status("half_plus_two", label="stable")),
        ]
    ),
]

# model_servers/model_service_impl.cc, model_servers/server_core.cc
INVALID: list[tuple[str, list[dict[str, Any]], str]] = [
    (
        "a reload with a model twice",
        [{"name": "m", "base_path": "/m"}, {"name": "m", "base_path": "/m2"}],
        "Illegal to list model m multiple times in config list",
    ),
    (
        "a reload with a relative path",
        [{"name": "m", "base_path": "models/m"}],
        "Expected model m to have an absolute path or URI; got base_path()=models/m",
    ),
    (
        "a reload without a path",
        [{"name": "m"}],
        "Expected model m to have an absolute path or URI; got base_path()=",
    ),
    (
        "a reload without a platform",
        [{"name": "m", "base_path": "/m", "model_platform": ""}],
        "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
        "ModelServerConfig::model_platform, model name is m",
    ),
    (
        "a reload with both ways to name a platform",
        [{"name": "m", "base_path": "/m", "model_type": 1}],
        "Illegal setting both ModelServerConfig::model_type (deprecated) and "
        "ModelServerConfig::model_platform, model name is m",
    ),
    (
        "a reload with a type that is not TensorFlow's",
        [{"name": "m", "base_path": "/m", "model_platform": "", "model_type": 2}],
        "ModelServerConfig::model_type choice 2 not supported.",
    ),
    (
        "a reload with an unknown platform",
        [{"name": "m", "base_path": "/m", "model_platform": "abacus"}],
        "Model m requests unsupported platform abacus",
    ),
    (
        "a reload that changes a platform",
        [{"name": "echo", "base_path": "/m", "model_platform": "abacus"}],
        "Illegal to change a model's platform. For model echo platform was tensorflow and "
        "new platform requested is abacus",
    ),
    (
        "a changed platform comes before a missing one",
        [
            {"name": "m", "base_path": "/m", "model_platform": ""},
            {"name": "echo", "base_path": "/m", "model_platform": "abacus"},
        ],
        "Illegal to change a model's platform. For model echo platform was tensorflow and "
        "new platform requested is abacus",
    ),
]

RELOAD_CASES = [
    Case(
        "a reload without a list of models",
        RELOAD,
        reload(),
        "INVALID_ARGUMENT",
        "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList "
        "is currently supported",
    ),
    *(
        Case(name, RELOAD, reload(*models), "INVALID_ARGUMENT", text)
        for name, models, text in INVALID
    ),
    Case(
        "a reload with a label for a version that is not served",
        RELOAD,
        reload({"name": "echo", "base_path": "/m", "version_labels": {"stable": 2}}),
        "FAILED_PRECONDITION",
        "Request to assign label to version 2 of model echo, which is not currently available for "
        "inference",
    ),
    Case(
        "a reload with a label for a model that is not served yet",
        RELOAD,
        reload({"name": "nobody", "base_path": "/m", "version_labels": {"stable": 1}}),
        "FAILED_PRECONDITION",
        "Request to assign label to version 1 of model nobody, which is not currently available "
        "for inference",
    ),
]

CASES = [*METADATA_CASES, *STATUS_CASES, *RELOAD_CASES]
