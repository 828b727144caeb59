"""Shared calls at their edges."""

import asyncio

import pytest

from eventbus_gateway.errors import Overloaded
from eventbus_gateway.schemas.flights import Flights


def test_a_call_beyond_the_limit_is_refused_and_one_that_is_shared_is_not() -> None:
    async def scenario() -> None:
        gate = asyncio.Event()

        async def call() -> int:
            await gate.wait()
            return 1

        flights: Flights[int] = Flights(1)
        first = asyncio.create_task(flights.join("a", call))
        shared = asyncio.create_task(flights.join("a", call))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await flights.join("b", call)
        gate.set()
        assert [await first, await shared] == [1, 1]
        assert await flights.join("b", call) == 1
        await asyncio.sleep(0)
        assert len(flights) == 0

    asyncio.run(scenario())


def test_a_call_that_has_just_ended_is_not_joined() -> None:
    async def scenario() -> None:
        results = iter((1, 2))

        async def call() -> int:
            return next(results)

        flights: Flights[int] = Flights(1)
        first = flights.begin("a", call)
        second: list[asyncio.Task[int]] = []

        def again() -> None:
            assert first.done()
            second.append(flights.begin("a", call))

        # Runs after the first call and before the callback of its end.
        asyncio.get_running_loop().call_soon(again)
        await asyncio.sleep(0)
        assert [await task for task in second] == [2]
        await flights.aclose()

    asyncio.run(scenario())
