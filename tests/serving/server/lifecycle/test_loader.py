"""What a version's folder becomes: a session, batched or not, guarded, warmed up."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tensorflow as tf

from serving.errors import ServingError
from serving.server.batching import parameters
from serving.server.batching.session import BatchStatistics
from serving.server.config_files import BatchingParameters
from serving.server.flags import Flags
from serving.server.lifecycle.loader import Loader
from serving.server.servables.guard import GuardedSession
from serving.server.servables.sandbox import Sandbox
from serving.server.servables.tflite import TFLITE_FILE
from serving.server.servables.tflite_guard import GuardedTfLite
from serving.server.zygote import Zygote
from tests.serving import saved_models, tflite_models
from tests.serving.saved_models import floats, record_warmup, recorded, request

FEEDS = {"serving_default_x:0": floats(1, 2)}


@pytest.fixture
def loader(suspects):
    sandbox = Sandbox(Zygote())

    def make(**options):
        return Loader(sandbox, suspects, **options)

    yield make
    assert sandbox.child is None, "nothing here is unlike its signature"


@pytest.fixture
def version(repository, tmp_path):
    return shutil.copytree(repository / "half_plus_two" / "1", tmp_path / "1")


def answer(servable):
    [output] = [info.name for info in servable.signatures["serving_default"].outputs.values()]
    [y] = servable.run(FEEDS, [output])
    return y.tolist()


def test_a_version_answers_alone_unless_batching_is_asked_for(loader, version):
    statistics: list[BatchStatistics] = []
    alone = loader(observe=statistics.append)(version)
    assert answer(alone) == [2.5, 3]
    assert statistics == []
    alone.close()
    batched = loader(batching=BatchingParameters(), observe=statistics.append)(version)
    assert answer(batched) == [2.5, 3]
    assert [each.rows for each in statistics] == [2]
    batched.close()


@pytest.mark.parametrize("x", [np.float32(1), np.ones((2, 1), np.float32), np.ones(5, np.float32)])
def test_what_is_tried_first_has_the_answer_of_a_batch_each_time(zygote, suspects, tmp_path, x):
    path = saved_models.stateless(
        tmp_path / "1",
        tf.TensorSpec([4], tf.float32, "x"),
        serving_default=lambda x: {"y": tf.raw_ops.AddV2(x=x, y=1.0)},
    )
    statistics: list[BatchStatistics] = []
    parameters = BatchingParameters(max_batch_size={"value": 4}, batch_timeout_micros={"value": 0})
    sandbox = Sandbox(zygote)
    loader = Loader(sandbox, suspects, batching=parameters, observe=statistics.append)
    servable = loader(path)
    definition = servable.signatures["serving_default"]
    (fed,), (fetched,) = definition.inputs.values(), definition.outputs.values()

    def outcome() -> object:
        try:
            return servable.run({fed.name: x}, [fetched.name])[0].tolist()
        except ServingError as error:
            return str(error)

    outcomes = [outcome() for _ in range(3)]
    assert outcomes == [outcomes[0]] * 3
    assert (
        outcomes[0]
        == {
            0: "INVALID_ARGUMENT: Batching Run() input tensors must have at least one dimension",
            2: [[2.0], [2.0]],
            5: "INVALID_ARGUMENT: Task size 5 is larger than maximum input batch size 4",
        }[x.shape[0] if x.shape else 0]
    )
    assert [each.rows for each in statistics] == ([2] * 3 if x.shape == (2, 1) else [])
    servable.close()
    sandbox.close()


def test_a_version_of_its_own_parameters_is_batched_by_them(loader, version):
    statistics: list[BatchStatistics] = []
    per_model = loader(
        batching=BatchingParameters(), batching_per_model=True, observe=statistics.append
    )
    unbatched = per_model(version)
    assert answer(unbatched) == [2.5, 3]
    assert statistics == []
    unbatched.close()
    (version / parameters.PARAMETERS_FILE).write_text(
        "max_batch_size { value: 4 } allowed_batch_sizes: 4"
    )
    batched = per_model(version)
    assert answer(batched) == [2.5, 3]
    assert [each.batch_size for each in statistics] == [4]
    batched.close()
    (version / parameters.PARAMETERS_FILE).write_text("allowed_batch_sizes: 4")
    with pytest.raises(ServingError, match="Last entry in allowed_batch_sizes"):
        per_model(version)


def test_warmup_is_run_as_often_as_said_and_its_failure_is_the_versions(loader, version):
    statistics: list[BatchStatistics] = []
    record_warmup(version, recorded(request("m", x=floats(1, 2))))
    warmed = loader(batching=BatchingParameters(), warmup_iterations=3, observe=statistics.append)(
        version
    )
    assert len(statistics) == 3
    warmed.close()
    record_warmup(version, recorded(request("m", y=floats(1))))
    with pytest.raises(ServingError, match="Signature input alias: x"):
        loader()(version)
    loader(warmup_iterations=0)(version).close()


@pytest.fixture(scope="module")
def tflite(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("tflite")
    return (tflite_models.half_plus_two(folder / "1") / TFLITE_FILE).read_bytes()


@pytest.mark.parametrize("preferred", [False, True])
@pytest.mark.parametrize("exists", [False, True])
def test_a_tensorflow_lite_model_is_taken_where_it_is_preferred_and_exists(
    loader, version, tflite, preferred, exists
):
    if exists:
        tflite_models.write(version, tflite)
    servable = loader(tflite_interpreters=2 * preferred)(version)
    assert isinstance(servable, GuardedTfLite if preferred and exists else GuardedSession)
    assert answer(servable) == [2.5, 3]
    servable.close()


def test_a_tensorflow_lite_model_is_warmed_up_too(loader, version, tflite):
    tflite_models.write(version, tflite)
    record_warmup(version, recorded(request("m", x=floats(1))))
    loader(tflite_interpreters=1)(version).close()
    record_warmup(version, recorded(request("m", z=floats(1))))
    with pytest.raises(ServingError, match="Signature input alias: x"):
        loader(tflite_interpreters=1)(version)


def test_a_damaged_tensorflow_lite_model_is_not_replaced_by_the_saved_model(loader, version):
    tflite_models.write(version, b"damaged")
    with pytest.raises(ServingError, match="Cannot build FlatBufferModel from buffer"):
        loader(tflite_interpreters=1)(version)


def test_the_command_line_says_whether_and_how_requests_are_batched(tmp_path):
    assert parameters.common(Flags()) is None
    assert parameters.common(Flags(enable_batching=True)) == BatchingParameters()
    file = tmp_path / "batching.config"
    file.write_text("num_batch_threads { value: 7 }")
    flags = Flags(enable_batching=True, batching_parameters_file=str(file))
    assert parameters.common(flags) == BatchingParameters(num_batch_threads={"value": 7})
