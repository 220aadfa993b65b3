"""What the tests of serving share: a model repository, and a server of it in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder NAME/1 with a SavedModel for each model of `saved_models` and `inference_models`."""
    from tests.serving import inference_models, saved_models

    base = tmp_path_factory.mktemp("repository")
    for build in (
        saved_models.half_plus_two,
        saved_models.half_plus_two_of_tensorflow_1,
        saved_models.sum_and_difference,
        saved_models.echo,
        saved_models.flatten,
        saved_models.scale,
        saved_models.count,
        saved_models.every_dtype,
        saved_models.vocabulary,
        saved_models.brightness,
        inference_models.half_plus_two_of_examples,
        inference_models.half_plus_two_of_examples_in_tensorflow_2,
        inference_models.half_plus_three_of_examples,
        inference_models.classifier,
        inference_models.malformed,
    ):
        build(base / build.__name__ / "1")
    return base


@pytest.fixture(scope="session")
def in_process(repository: Path) -> Iterator[Any]:
    """A server of all models of the repository, over gRPC and REST."""
    from serving.server.lifecycle.version_policy import Model
    from tests.serving.in_process import serving_both

    with serving_both(*(Model(folder.name, folder) for folder in repository.iterdir())) as server:
        yield server


@pytest.fixture(scope="session")
def address(in_process: Any) -> str:
    """Where all models of the repository are served over gRPC."""
    return in_process.grpc


@pytest.fixture(scope="session")
def rest_address(in_process: Any) -> str:
    """Where all models of the repository are served over HTTP."""
    return f"127.0.0.1:{in_process.rest_port}"


@pytest.fixture(params=["Client", "AsyncClient"])
def connect(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Makes clients of either kind, of which the methods return answers, and closes them."""
    from serving.client import Client
    from tests.serving.clients import Awaited

    kind = {"Client": Client, "AsyncClient": Awaited}[request.param]
    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(kind(*arguments, **options))


@pytest.fixture(scope="session")
def zygote() -> Iterator[Any]:
    """Starts processes; one for all tests, as it takes seconds to import TensorFlow."""
    from serving.server.zygote import Zygote

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")  # Its kernels are those that abort.
        zygote = Zygote()
        zygote.start(print).close()
    yield zygote
    zygote.close()


@pytest.fixture
def suspects(tmp_path: Path) -> Any:
    """Nothing is suspected of having ended a process."""
    from serving.server.suspects import Suspects

    (tmp_path / "suspects").mkdir()
    return Suspects(tmp_path / "suspects", 0)
