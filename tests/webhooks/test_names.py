"""Looking names up."""

import asyncio
from collections.abc import Sequence

import pytest
from tests.webhooks.receiver import Book, Clock

from eventbus_gateway.webhooks.names import Names, NameTimes, SystemLookup

TIMES = NameTimes(wait_seconds=10, keep_seconds=30, failure_seconds=2, max_names=3, max_lookups=2)


class Slow(Book):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__({})
        self.go = asyncio.Event()

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        await self.go.wait()
        return ["127.0.0.1"]


def test_addresses_are_kept_for_their_time() -> None:
    async def main() -> None:
        book, clock = Book({"a": ["127.0.0.1", "::1"]}), Clock()
        names = Names(book, TIMES, clock=clock)
        for wait, asked in [(0, 1), (29, 1), (2, 2)]:
            clock.now += wait
            assert await names.addresses("a") == ("127.0.0.1", "::1")
            assert len(book.asked) == asked

    asyncio.run(main())


@pytest.mark.parametrize("failure", [OSError, UnicodeError])
def test_a_failure_is_kept_for_a_shorter_time(failure: type[Exception]) -> None:
    async def main() -> None:
        asked, clock = [], Clock()

        async def lookup(host: str) -> Sequence[str]:
            asked.append(host)
            raise failure

        names = Names(lookup, TIMES, clock=clock)
        for wait, expected in [(0, 1), (1.9, 1), (0.2, 2)]:
            clock.now += wait
            with pytest.raises(OSError, match="no address"):
                await names.addresses("a")
            assert len(asked) == expected

    asyncio.run(main())


def test_all_who_ask_for_a_name_share_one_lookup() -> None:
    async def main() -> None:
        slow = Slow()
        names = Names(slow, TIMES)
        tasks = [asyncio.create_task(names.addresses("a")) for _ in range(10)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        slow.go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert found[1:] == [("127.0.0.1",)] * 9
        assert slow.asked == ["a"]

    asyncio.run(main())


def test_a_name_that_takes_too_long_holds_one_lookup_however_often_it_is_asked_for() -> None:
    async def main() -> None:
        slow = Slow()
        names = Names(slow, TIMES._replace(wait_seconds=0.01))
        for _ in range(3):
            with pytest.raises(OSError, match="in time"):
                await names.addresses("a")
        assert slow.asked == ["a"]
        slow.go.set()
        assert await names.addresses("a") == ("127.0.0.1",)
        assert slow.asked == ["a"]

    asyncio.run(main())


def test_lookups_are_bounded() -> None:
    async def main() -> None:
        slow = Slow()
        names = Names(slow, TIMES)
        tasks = [asyncio.create_task(names.addresses(name)) for name in "ab"]
        await asyncio.sleep(0)
        with pytest.raises(OSError, match="too many"):
            await names.addresses("c")
        slow.go.set()
        await asyncio.gather(*tasks)
        assert await names.addresses("c") == ("127.0.0.1",)

    asyncio.run(main())


def test_names_that_are_kept_are_bounded() -> None:
    async def main() -> None:
        names = Names(Book({name: ["127.0.0.1"] for name in "abcdef"}), TIMES)
        for name in "abcdef":
            await names.addresses(name)
        assert len(names) == TIMES.max_names

    asyncio.run(main())


def test_closing_ends_what_is_under_way() -> None:
    async def main() -> None:
        names = Names(Slow(), TIMES)
        task = asyncio.create_task(names.addresses("a"))
        await asyncio.sleep(0)
        await names.aclose()
        with pytest.raises(OSError, match="in time"):
            await task

    asyncio.run(main())


def test_the_operating_system_gives_each_address_once() -> None:
    async def main() -> None:
        lookup = SystemLookup(1)
        found = await lookup("localhost")
        lookup.close()
        assert "127.0.0.1" in found
        assert len(found) == len(set(found))

    asyncio.run(main())


def test_a_name_that_python_cannot_encode_has_no_address() -> None:
    async def main() -> None:
        lookup = SystemLookup(1)
        names = Names(lookup, TIMES)
        with pytest.raises(OSError, match="no address"):
            await names.addresses("a" * 64)
        lookup.close()

    asyncio.run(main())
