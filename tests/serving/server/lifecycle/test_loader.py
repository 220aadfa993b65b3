"""What a version's folder becomes: a session, batched or not, guarded, warmed up."""

from __future__ import annotations

import shutil

import pytest

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
from tests.serving import tflite_models
from tests.serving.saved_models import floats, record_warmup, recorded, request

FEEDS = {"serving_default_x:0": floats(1, 2)}


@pytest.fixture
def loader():
    sandbox = Sandbox()

    def make(**options):
        return Loader(sandbox, **options)

    yield make
    assert sandbox.process is None, "nothing here is unlike its signature"
    sandbox.close()


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
