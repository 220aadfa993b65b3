"""GetModelMetadata and GetModelStatus."""

from __future__ import annotations

from serving import messages
from tests.serving.contract.cases import METADATA, STATUS, Case, metadata, status

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

CASES = [*METADATA_CASES, *STATUS_CASES]
