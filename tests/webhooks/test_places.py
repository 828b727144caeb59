"""Places for requests."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.webhooks.places import Places


def test_places_are_handed_on_in_the_order_of_asking() -> None:
    async def main() -> None:
        places, order = Places(1, 10, 10), []
        assert places.take_now("a")

        async def wait(number: int) -> None:
            assert await places.take("a", 10)
            order.append(number)
            places.give("a")

        tasks = [asyncio.create_task(wait(number)) for number in range(4)]
        await asyncio.sleep(0)
        assert places.waiting == 4
        places.give("a")
        await asyncio.gather(*tasks)
        assert order == [0, 1, 2, 3]
        assert (len(places), places.waiting) == (0, 0)

    asyncio.run(main())


def test_whoever_waits_too_long_has_no_place() -> None:
    async def main() -> None:
        places = Places(1, 10, 1)
        assert places.take_now("a")
        for _ in range(2):  # whoever gave up makes room for the next one who waits
            assert not await places.take("a", 0.01)
        assert places.waiting == 0
        places.give("a")
        assert await places.take("a", 0.01)

    asyncio.run(main())


def test_nobody_waits_where_all_endpoints_together_have_no_place() -> None:
    async def main() -> None:
        places = Places(2, 2, 10)
        assert places.take_now("a")
        assert places.take_now("b")
        assert not await places.take("c", 10)
        assert not await places.take("a", 10)

    asyncio.run(main())


def test_a_place_that_comes_just_as_its_waiter_is_cancelled_is_not_lost() -> None:
    async def main() -> None:
        places = Places(1, 1, 10)
        assert places.take_now("a")
        task = asyncio.create_task(places.take("a", 10))
        await asyncio.sleep(0)
        places.give("a")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(places) == 0
        assert places.take_now("a")

    asyncio.run(main())


class History:
    """Requests that take, give back and give up; what they hold is counted beside the places themselves."""

    def __init__(self) -> None:
        self.places = Places(2, 4, 3)
        self.held: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def act(self, act: str, endpoint: str) -> None:
        if act == "take":
            self.tasks.append(asyncio.create_task(self._take(endpoint)))
        elif act == "give" and endpoint in self.held:
            self.held.remove(endpoint)
            self.places.give(endpoint)
        elif act == "cancel" and self.tasks:
            self.tasks.pop(0).cancel()
        for _ in range(5):
            await asyncio.sleep(0)

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for endpoint in self.held:
            self.places.give(endpoint)

    async def _take(self, endpoint: str) -> None:
        if await self.places.take(endpoint, 10):
            self.held.append(endpoint)


@given(st.lists(st.tuples(st.sampled_from(["take", "give", "cancel"]), st.sampled_from("abc")), max_size=60))
def test_the_bounds_hold_in_every_history(acts: list[tuple[str, str]]) -> None:
    async def main() -> None:
        history = History()
        for act, endpoint in acts:
            await history.act(act, endpoint)
            assert len(history.held) == len(history.places) <= 4
            assert history.places.waiting <= 3
            assert all(history.held.count(each) <= 2 for each in "abc")
        await history.end()
        assert (len(history.places), history.places.waiting) == (0, 0)
        assert all(history.places.take_now(each) for each in "aabb")

    asyncio.run(main())
