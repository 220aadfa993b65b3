"""Every engine that is here keeps the contract, case by case, over gRPC."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from serving.engines.engine import choose
from serving.engines.ports import free_port
from serving.errors import UserError
from tests.serving import contract
from tests.serving.contract import CASES, Case

IN_PROCESS = "embedded in this process"


@pytest.fixture(scope="module", params=[IN_PROCESS, "embedded", "binary", "docker"])
def channel(
    request: pytest.FixtureRequest, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[grpc.Channel]:
    """A connection to a server of the repository, on one engine after the other."""
    with ExitStack() as stack:
        if request.param == IN_PROCESS:
            where = request.getfixturevalue("address")
        else:
            try:
                engine = choose(request.param)
            except UserError as error:
                pytest.skip(str(error))
            folder = tmp_path_factory.mktemp("engine")
            config = folder / "models.config"
            entries = "".join(
                f'config {{ name: "{model.name}" base_path: "{model}" '
                'model_platform: "tensorflow" } '
                for model in repository.iterdir()
            )
            config.write_text(f"model_config_list {{ {entries} }}")
            running = stack.enter_context(
                engine.start(
                    repository,
                    config=config,
                    port=free_port(),
                    rest_port=free_port(),
                    log=folder / "server.log",
                    # The contract is that of the defaults, and its reloads are not to be undone.
                    options=(
                        "--allow_version_labels_for_unavailable_models=false",
                        "--model_config_file_poll_wait_seconds=0",
                    ),
                )
            )
            running.wait_until_ready(120)
            where = running.address
        yield stack.enter_context(grpc.insecure_channel(where))


def asked(case: Case, channel: grpc.Channel) -> tuple[str, str, Any]:
    """Returns the code, and the text or the answer."""
    call = channel.unary_unary(
        f"/tensorflow.serving.{case.method}",
        request_serializer=lambda request: (
            request if isinstance(request, bytes) else request.SerializeToString()
        ),
        response_deserializer=contract.RESPONSES[case.method].FromString,
    )
    try:
        # A request of an unusual shape may have to wait for the start of the sandbox.
        return "OK", "", call(case.request, timeout=60)
    except grpc.RpcError as error:
        return error.code().name, error.details() or "", None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_server_answers_as_tensorflow_serving_does(case: Case, channel: grpc.Channel):
    code, text, answer = asked(case, channel)
    assert code == case.code, text
    assert answer == case.answer
    pattern = ".*".join(map(re.escape, case.text.split("…")))
    assert re.fullmatch(pattern, text, re.DOTALL), text


def test_no_case_is_written_down_twice():
    names = [case.name for case in CASES]
    assert sorted(names) == sorted(set(names))
