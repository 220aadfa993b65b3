"""GetModelMetadata and GetModelStatus beyond what the contract lists."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from serving.errors import ServingError
from serving.server.handlers import metadata
from serving.server.lifecycle.manager import Manager
from serving.server.lifecycle.version_policy import Model
from serving.server.servables.session import Session

Status = get_model_status_pb2.ModelVersionStatus


@pytest.mark.parametrize("model", ["half_plus_two", "sum_and_difference", "scale"])
def test_metadata_holds_every_signature_of_the_saved_model(repository, model):
    path = repository / model / "1"
    session = Session(path)
    response = metadata.metadata("name", 7, session)
    session.close()
    assert response.model_spec == model_pb2.ModelSpec(name="name", version={"value": 7})
    assert list(response.metadata) == ["signature_def"]

    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    expected = saved.meta_graphs[0].signature_def
    assert "__saved_model_init_op" in expected
    assert set(signatures.signature_def) == set(expected)
    for key, signature in signatures.signature_def.items():
        assert signature.inputs == expected[key].inputs
        assert signature.outputs == expected[key].outputs
        assert signature.method_name == expected[key].method_name
        assert not signature.defaults


def test_metadata_leaves_the_defaults_to_the_session(repository):
    session = Session(repository / "scale" / "1")
    metadata.metadata("scale", 1, session)
    factor = session.signatures["serving_default"].defaults["factor"]
    session.close()
    assert tf.make_ndarray(factor) == 3


def test_the_signatures_say_names_types_and_shapes(repository):
    session = Session(repository / "half_plus_two" / "1")
    response = metadata.metadata("half_plus_two", 1, session)
    session.close()
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    x = signatures.signature_def["serving_default"].inputs["x"]
    assert (x.name, x.dtype) == ("serving_default_x:0", tf.float32.as_datatype_enum)
    assert [dim.size for dim in x.tensor_shape.dim] == [-1]


@pytest.fixture
def managed(tmp_path):
    """A manager whose versions above 1 cannot be loaded."""

    def load(path: Path):
        if path.name == "1":
            return SimpleNamespace(close=lambda: None)
        raise ServingError(grpc.StatusCode.DATA_LOSS, "it is damaged")

    (tmp_path / "1").mkdir()
    manager = Manager([Model("m", tmp_path)], load, poll_seconds=0.01, load_retries=0)
    manager.start()
    yield manager
    manager.stop()


def test_the_status_carries_states_and_errors_highest_version_first(managed, tmp_path):
    (tmp_path / "2").mkdir()
    deadline = time.monotonic() + 10
    while (response := metadata.status(managed, model_pb2.ModelSpec(name="m"))) and (
        [entry.state for entry in response.model_version_status] != [Status.END, Status.AVAILABLE]
    ):
        assert time.monotonic() < deadline, response
    failed, good = response.model_version_status
    assert (failed.version, good.version) == (2, 1)
    assert failed.status.error_code == grpc.StatusCode.DATA_LOSS.value[0]
    assert failed.status.error_message == "it is damaged"
    assert good.HasField("status")
    assert (good.status.error_code, good.status.error_message) == (0, "")

    spec = model_pb2.ModelSpec(name="m", version={"value": 2})
    assert metadata.status(managed, spec).model_version_status == [failed]


def test_a_label_in_a_status_request_is_ignored(managed):
    spec = model_pb2.ModelSpec(name="m", version_label="stable")
    assert [entry.version for entry in metadata.status(managed, spec).model_version_status] == [1]
