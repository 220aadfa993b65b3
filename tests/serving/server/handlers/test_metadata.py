"""GetModelMetadata beyond the cases of the contract."""

from __future__ import annotations

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, model_pb2

from serving.server.handlers.metadata import metadata
from serving.server.servables.session import Session


@pytest.mark.parametrize("model", ["half_plus_two", "sum_and_difference", "scale"])
def test_metadata_holds_every_signature_of_the_saved_model(repository, model):
    path = repository / model / "1"
    session = Session(path)
    response = metadata("name", 7, session)
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
        assert signature == expected[key]
    if model == "scale":
        assert tf.make_ndarray(signatures.signature_def["serving_default"].defaults["factor"]) == 3


def test_the_signatures_say_names_types_and_shapes(repository):
    session = Session(repository / "half_plus_two" / "1")
    response = metadata("half_plus_two", 1, session)
    session.close()
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    x = signatures.signature_def["serving_default"].inputs["x"]
    assert (x.name, x.dtype) == ("serving_default_x:0", tf.float32.as_datatype_enum)
    assert [dim.size for dim in x.tensor_shape.dim] == [-1]
