"""Model repositories in a bad state: damaged versions, base paths that vanish, tricks in names."""

from __future__ import annotations

import shutil
import urllib.parse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
)

from serving.errors import ServingError
from serving.server.core import Core
from serving.server.lifecycle.version_policy import Model, Policy, State
from serving.server.peers import Peers
from tests.serving.in_process import Http, managed, serving_both
from tests.serving.saved_models import floats, publish, request
from tests.serving.waiting import eventually


def served(core: Core, model: str = "m") -> int:
    """Returns the version that answers."""
    return core.predict(request(model, x=floats(1))).model_spec.version.value


def states(core: Core, model: str = "m") -> dict[int, tuple[str, str, str]]:
    """Returns each version's state with the code and text of its error."""
    asked = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": model})
    codes = {code.value[0]: code.name for code in grpc.StatusCode}
    return {
        status.version: (
            State(status.state).name,
            codes[status.status.error_code],
            status.status.error_message,
        )
        for status in core.status(asked).model_version_status
    }


def known(core: Core, version: int) -> bool:
    return states(core).get(version, ("",))[0] in ("AVAILABLE", "END")


def variables(version: Path) -> Path:
    return version / "variables" / "variables.data-00000-of-00001"


def cut(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])


NO_CHECKPOINT = "The passed save_path is not a valid checkpoint: PATH/variables/variables"
NO_MODEL = (
    "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
    "`saved_model.pb`)\nSpecified file path: PATH"
)
UNPARSABLE = "Can't parse PATH/saved_model.pb as binary proto"


def garbage_for_a_graph(version: Path) -> None:
    (version / "saved_model.pb").write_bytes(b"garbage")


def half_a_graph(version: Path) -> None:
    cut(version / "saved_model.pb", 500)


def an_empty_graph(version: Path) -> None:
    cut(version / "saved_model.pb", 0)


def no_graph(version: Path) -> None:
    (version / "saved_model.pb").unlink()


def a_folder_for_a_graph(version: Path) -> None:
    no_graph(version)
    (version / "saved_model.pb").mkdir()


def no_folder(version: Path) -> None:
    shutil.rmtree(version)
    version.write_bytes(b"")


def an_empty_folder(version: Path) -> None:
    shutil.rmtree(version)
    version.mkdir()


def half_the_weights(version: Path) -> None:
    cut(variables(version), 4)


def half_an_index_of_the_weights(version: Path) -> None:
    cut(version / "variables" / "variables.index", 60)


def no_weights(version: Path) -> None:
    variables(version).unlink()


def no_folder_for_the_weights(version: Path) -> None:
    shutil.rmtree(version / "variables")


def an_empty_folder_for_the_weights(version: Path) -> None:
    no_folder_for_the_weights(version)
    (version / "variables").mkdir()


DAMAGES: list[tuple[Callable[[Path], None], str, str]] = [
    (garbage_for_a_graph, "DATA_LOSS", UNPARSABLE),
    (half_a_graph, "DATA_LOSS", UNPARSABLE),
    (
        an_empty_graph,
        "NOT_FOUND",
        "Could not find meta graph def matching supplied tags: { serve }. To inspect available "
        "tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`",
    ),
    (no_graph, "NOT_FOUND", NO_MODEL),
    (a_folder_for_a_graph, "FAILED_PRECONDITION", "PATH/saved_model.pb; Is a directory"),
    (no_folder, "NOT_FOUND", NO_MODEL),
    (an_empty_folder, "NOT_FOUND", NO_MODEL),
    (half_the_weights, "OUT_OF_RANGE", "Read less bytes than requested"),
    (half_an_index_of_the_weights, "DATA_LOSS", "not an sstable (bad magic number)"),
    (
        no_weights,
        "NOT_FOUND",
        "PATH/variables/variables.data-00000-of-00001; No such file or directory",
    ),
    # The original serves these two, and fails each request.
    (no_folder_for_the_weights, "NOT_FOUND", NO_CHECKPOINT),
    (an_empty_folder_for_the_weights, "NOT_FOUND", NO_CHECKPOINT),
]


def test_beside_a_damaged_version_the_good_one_goes_on_and_status_says_why(repository, tmp_path):
    """One version after the other comes, damaged in its own way; in the end a good one does."""
    base = tmp_path / "m"
    base.mkdir()
    good = repository / "half_plus_two" / "1"
    publish(good, base, 1)
    with managed(Model("m", base)) as core:
        for version, (damage, code, text) in enumerate(DAMAGES, 2):
            damaged = shutil.copytree(good, tmp_path / str(version))
            damage(damaged)
            damaged.rename(base / str(version))
            eventually(partial(known, core, version))
            assert served(core) == 1
            state, told_code, told_text = states(core)[version]
            assert (state, told_code) == ("END", code)
            assert told_text.partition("\n\t [[")[0] == text.replace("PATH", f"{base}/{version}")
        last = len(DAMAGES) + 2
        publish(good, base, last)
        eventually(lambda: served(core) == last)


def test_a_repaired_version_is_loaded_once_it_was_gone(repository, tmp_path):
    base = tmp_path / "m"
    base.mkdir()
    good = repository / "half_plus_two" / "1"
    publish(good, base, 1)
    with managed(Model("m", base)) as core:
        (base / "2").mkdir()
        eventually(lambda: known(core, 2))
        (base / "2").rmdir()
        publish(good, base, 3)
        eventually(lambda: served(core) == 3)
        shutil.rmtree(base / "3")
        publish(good, base, 2)
        eventually(lambda: served(core) == 2)
        assert states(core)[2] == ("AVAILABLE", "OK", "")


def test_all_versions_of_which_some_are_damaged_leave_the_good_ones(repository, tmp_path):
    base = tmp_path / "m"
    base.mkdir()
    for version in (1, 3):
        publish(repository / "half_plus_two" / "1", base, version)
    (base / "2").mkdir()
    with managed(Model("m", base, Policy("all"))) as core:
        eventually(lambda: all(known(core, version) for version in (1, 2, 3)))
        assert [state for state, *_ in states(core).values()] == ["AVAILABLE", "END", "AVAILABLE"]
        assert served(core) == 3


def test_a_base_path_that_vanishes_and_returns_costs_no_request(repository, tmp_path):
    base, away = tmp_path / "m", tmp_path / "away"
    base.mkdir()
    good = repository / "half_plus_two" / "1"
    publish(good, base, 1)
    other = tmp_path / "other"
    other.mkdir()
    publish(good, other, 1)
    with serving_both(Model("m", base), Model("other", other), poll_seconds=0.02) as server:
        http = Http(server.rest_port)
        base.rename(away)
        publish(good, other, 2)  # No model changes while one base path is missing.
        for _ in range(20):
            assert served(server.core) == 1
            assert http.predict("m", instances=[1.0]) == (200, {"predictions": [2.5]})
        assert served(server.core, "other") == 1
        publish(good, away, 2)
        away.rename(base)
        eventually(lambda: served(server.core) == 2 and served(server.core, "other") == 2)
        http.close()


TRICKS = ["../m", "..", "/etc", "%2e%2e", "a\0b", "é" * 2000, "😀", "\n", " ", ":", "m/versions/1"]


def test_a_name_is_a_name_and_never_a_path(repository):
    """Models may be called anything, over both transports; the name never leads to a folder."""
    half = repository / "half_plus_two"
    with serving_both(Model("m", half), *(Model(name, half) for name in TRICKS)) as server:
        http = Http(server.rest_port)
        for name in TRICKS:
            assert served(server.core, name) == 1
            assert states(server.core, name) == {1: ("AVAILABLE", "OK", "")}
            quoted = urllib.parse.quote(name, safe="")
            assert http.predict(quoted, instances=[1.0]) == (200, {"predictions": [2.5]})
            assert http.send("GET", f"/v1/models/{quoted}/versions/1/metadata")[0] == 200
            for wrong in (f"{name}/../m", f"../models/{name}", f"{name}\0"):
                with pytest.raises(ServingError) as raised:
                    served(server.core, wrong)
                assert raised.value.code is grpc.StatusCode.NOT_FOUND
                quoted = urllib.parse.quote(wrong, safe="")
                assert http.predict(quoted, instances=[1.0]) == (
                    404,
                    {"error": f"Servable not found for request: Latest({wrong})"},
                )
        http.close()


@pytest.mark.parametrize(
    "base_path", ["/no\0path", f"/{'x' * 300}", f"/{'x/' * 5000}", "/dev/null", "/../..", "/no"]
)
def test_a_base_path_that_cannot_be_leaves_the_server_watching(repository, tmp_path, base_path):
    base = tmp_path / "m"
    base.mkdir()
    publish(repository / "half_plus_two" / "1", base, 1)
    with managed(Model("m", base)) as core:
        both = configuration(("m", str(base)), ("tricky", base_path))
        with pytest.raises(ServingError) as raised:
            core.reload(both, timeout=0.3)
        assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert served(core) == 1
        core.reload(configuration(("m", str(base))), timeout=20)
        publish(repository / "half_plus_two" / "1", base, 2)
        eventually(lambda: served(core) == 2)


def test_reloads_at_the_same_time_cost_no_request_and_the_server_nothing(repository, tmp_path):
    """Eight at a time; the one model that all of them name answers throughout."""
    half = str(repository / "half_plus_two")
    configurations = [
        configuration(("m", half), *((name, half) for name in names))
        for names in ("ab", "bc", "c", "", "abc", "a", "b", "ca")
    ]
    with managed(Model("m", repository / "half_plus_two"), poll_seconds=0.02) as plain:
        core = Core(plain._manager, Peers(tmp_path, 0, 1))
        with ThreadPoolExecutor(8) as pool:
            reloads = [pool.submit(core.reload, each, timeout=60) for each in configurations * 8]
            while not all(reload.done() for reload in reloads):
                assert served(core) == 1
            for reload in reloads:
                reload.result()
        core.reload(configurations[4], timeout=60)
        for name in "mabc":
            assert served(core, name) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["models.config"]


def test_a_client_that_gives_up_a_reload_gives_its_thread_back(repository):
    """Without a deadline, a reload waits for a model that never comes, on the only thread."""
    half = repository / "half_plus_two"
    with serving_both(Model("m", half), threads=1) as server:
        with grpc.insecure_channel(server.grpc) as channel:
            reload: Any = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest
            waiting = reload.future(configuration(("m", str(half)), ("no", "/no/such/folder")))
            eventually(lambda: len(server.core._manager.models()) == 2)
            waiting.cancel()
            reload(configuration(("m", str(half))), timeout=60)
        assert [model.name for model in server.core._manager.models()] == ["m"]


def configuration(*models: tuple[str, str]) -> model_management_pb2.ReloadConfigRequest:
    request = model_management_pb2.ReloadConfigRequest()
    for name, base_path in models:
        request.config.model_config_list.config.add(
            name=name, base_path=base_path, model_platform="tensorflow"
        )
    return request
