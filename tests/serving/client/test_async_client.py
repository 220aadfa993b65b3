"""The client for asyncio; what it shares with the other is tested with that one."""

from __future__ import annotations

import asyncio
import inspect
import time

import grpc
import numpy as np
import pytest

from serving.client import AsyncClient, Client, VersionStatus
from serving.errors import ServingError


def public(client: type) -> dict[str, str]:
    """Returns the signature of each method, constructor included."""
    return {
        name: str(inspect.signature(method)).replace(client.__name__, "")
        for name, method in inspect.getmembers(client, inspect.isfunction)
        if name == "__init__" or not name.startswith("_")
    }


def test_both_clients_have_the_same_methods_with_the_same_arguments():
    assert public(AsyncClient) == public(Client)
    assert {"__init__", "predict", "classify", "regress", "multi_inference"} <= public(
        Client
    ).keys()
    assert "key: 'str | None' = None" in public(Client)["predict"]


def test_a_model_answers(address):
    async def main():
        async with AsyncClient(address, timeout=20) as client:
            assert await client.wait_until_ready("half_plus_two") == 1
            assert await client.status("half_plus_two") == [VersionStatus(1, "AVAILABLE", "")]
            assert "serving_default" in await client.metadata("half_plus_two")
            return await client.predict("half_plus_two", {"x": np.array([1, 2], np.float32)})

    assert asyncio.run(main())["y"].tolist() == [2.5, 3]


def test_hundreds_of_requests_are_under_way_at_once(address):
    async def main():
        async with AsyncClient(address, timeout=60) as client:
            inputs = [np.array([number], np.float32) for number in range(400)]
            return await asyncio.gather(
                *(client.predict("half_plus_two", {"x": x}) for x in inputs)
            )

    answers = asyncio.run(main())
    assert [answer["y"].item() for answer in answers] == [n / 2 + 2 for n in range(400)]


def test_a_refusal_carries_the_servers_code_and_text(address):
    async def main():
        async with AsyncClient(address, timeout=20) as client:
            await client.predict("half_plus_two", {"x": np.ones(1)})

    with pytest.raises(ServingError) as raised:
        asyncio.run(main())
    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.message == "Expects arg[0] to be float but double is provided"


def test_the_loop_goes_on_while_a_call_waits_and_cancelling_ends_the_call(address):
    async def main():
        async with AsyncClient(address, timeout=60) as client:
            slow = asyncio.create_task(client.predict("count", {"number": 2**62}, timeout=20))
            quick = await client.predict("count", {"number": 3})
            assert not slow.done()
            begun = time.monotonic()
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow
            assert time.monotonic() - begun < 5
            return quick["counted"].item()

    assert asyncio.run(main()) == 3


def test_the_deadline_of_a_call_is_kept(address):
    async def main():
        async with AsyncClient(address) as client:
            await client.predict("count", {"number": 2**62}, timeout=0.2)

    with pytest.raises(ServingError) as raised:
        asyncio.run(main())
    assert raised.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
