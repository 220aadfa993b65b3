"""Which kind of model a version is loaded as, and that its warmup decides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.errors import ServingError
from serving.server.guard import GuardedSession
from serving.server.loader import Loader
from serving.server.predict import predict
from serving.server.sandbox import Sandbox
from serving.server.tflite import TFLITE_FILE, TfLiteSession
from tests.serving import tflite_models
from tests.serving.saved_models import floats, publish, record_warmup, recorded, request


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    sandbox.close()


@pytest.fixture
def version(repository, tmp_path) -> Path:
    return publish(repository / "half_plus_two" / "1", tmp_path, 1)


@pytest.fixture(scope="module")
def tflite(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("tflite")
    return (tflite_models.half_plus_two(folder / "1") / TFLITE_FILE).read_bytes()


@pytest.mark.parametrize("preferred", [False, True])
@pytest.mark.parametrize("exists", [False, True])
def test_a_tensorflow_lite_model_is_taken_where_it_is_preferred_and_exists(
    sandbox, version, tflite, preferred, exists
):
    if exists:
        tflite_models.write(version, tflite)
    servable = Loader(sandbox, tflite_interpreters=2 * preferred)(version)
    kind = TfLiteSession if preferred and exists else GuardedSession
    assert isinstance(servable, kind)
    assert list(predict(servable, request(x=floats(1, 2))).outputs["y"].float_val) == [2.5, 3]
    servable.close()


@pytest.mark.parametrize("preferred", [False, True])
def test_either_kind_is_warmed_up_or_fails_to_load(sandbox, version, tflite, preferred):
    tflite_models.write(version, tflite)
    record_warmup(version, recorded(request(x=floats(1))))
    loader = Loader(sandbox, tflite_interpreters=preferred)
    loader(version).close()
    record_warmup(version, recorded(request(z=floats(1))))
    with pytest.raises(ServingError, match="Signature input alias: x"):
        loader(version)
    Loader(sandbox, tflite_interpreters=preferred, warmup_iterations=0)(version).close()


def test_a_damaged_tensorflow_lite_model_is_not_replaced_by_the_saved_model(sandbox, version):
    tflite_models.write(version, b"damaged")
    with pytest.raises(ServingError, match="Cannot build FlatBufferModel from buffer"):
        Loader(sandbox, tflite_interpreters=1)(version)
