"""Dead letters as their owners see them."""

import pytest
from tests.api.managing import Office, Play, office
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.subscriptions.living import run

from eventbus_gateway.api.cursor import written
from eventbus_gateway.api.settings import ReadSettings
from eventbus_gateway.errors import RegistryUnavailable
from eventbus_gateway.kafka.partitions import Position
from eventbus_gateway.kafka.records import Record
from eventbus_gateway.schema_ids import SchemaId
from eventbus_gateway.subscriptions.codecs import Codec


@pytest.fixture(scope="module")
def name(topic: TopicFactory) -> str:
    """A topic with nothing in it."""
    return topic(1)


async def data(own: Office, path: str, query: str = "") -> list[object]:
    """The data of all dead letters on a page."""
    said = await own.call("GET", path, query=query)
    assert said.status == 200, said.body
    return [letter["event"]["data"] for letter in said.document["deadLetters"]]


def test_a_dead_letter_is_the_event_as_it_was_and_why_it_was_given_up(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("shown", name)
        await own.bury(own.subscription("shown"), b'{"bed":1}')
        await own.bury(own.subscription("shown"), b'{"bed":2}', reason="")
        page = (await own.call("GET", "/shown/dead-letters")).document
        first, second = page["deadLetters"]
        assert first == {
            "event": {
                "specversion": "1.0",
                "id": "test.buried-3-100",
                "source": "/test",
                "type": "bed",
                "time": "2023-11-14T22:13:20.000Z",
                "topic": "test.buried",
                "partition": 3,
                "offset": 100,
                "partitionkey": "ward",
                "datacontenttype": "application/json",
                "data": {"bed": 1},
            },
            "cause": "rejected",
            "reason": "no bed",
            "deliveries": 4,
            "deadLetteredAt": "2023-11-14T22:13:21.000Z",
        }
        assert (second["cause"], second["reason"], second["event"]["data"]) == ("max_deliveries", "", {"bed": 2})
        assert page["cursor"] is None

    play(scenario)


def test_there_are_none_before_the_first_one(broker: Broker, play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("fresh", name)
        nothing: dict[str, object] = {"deadLetters": [], "cursor": None}
        assert (await own.call("GET", "/fresh/dead-letters")).document == nothing
        broker.delete_topic("clinic.fresh.dlq")
        assert (await own.call("GET", "/fresh/dead-letters")).document == nothing

    play(scenario)


def test_they_are_read_page_by_page(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("paged", name)
        await own.bury(own.subscription("paged"), *(b"%d" % number for number in range(5)))
        path, query, seen = "/paged/dead-letters", "limit=2", list[object]()
        for _ in range(3):
            seen += await data(own, path, query)
            cursor = (await own.call("GET", path, query=query)).document["cursor"]
            query = f"limit=2&cursor={cursor}"
        assert seen == [0, 1, 2, 3, 4]
        # One that comes later is on the page behind a cursor that was given before.
        await own.bury(own.subscription("paged"), b"5")
        assert await data(own, path, f"cursor={written('clinic.paged.dlq', {0: 4})}") == [4, 5]

    play(scenario)


def test_what_came_back_is_shown_no_more_whatever_a_cursor_says(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("back", name)
        await own.bury(own.subscription("back"), b"0", b"1", b"2")
        path = "/back/dead-letters"
        start = f"cursor={written('clinic.back.dlq', {0: 0})}"
        await own.parts.commit(own.subscription("back"), {("clinic.back.dlq", 0): Position(1)})
        assert await data(own, path) == await data(own, path, start) == [1, 2]
        await own.call("POST", "/back/redrive")
        later = f"cursor={written('clinic.back.dlq', {0: 2})}"
        assert await data(own, path) == await data(own, path, start) == await data(own, path, later) == []
        await own.bury(own.subscription("back"), b"3")
        assert await data(own, path) == [3]
        # A seek does not bring them back among the dead.
        await own.call("POST", "/back/seek", {"to": "earliest"})
        assert await data(own, path, start) == [3]

    play(scenario)


def test_those_of_a_namesake_before_are_not_shown(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("heir", name)
        await own.bury(own.subscription("heir"), b"0")
        await own.call("DELETE", "/heir")
        await own.put("heir", name)
        assert await data(own, "/heir/dead-letters", f"cursor={written('clinic.heir.dlq', {0: 0})}") == []

    play(scenario)


def test_what_the_gateway_did_not_put_there_is_not_shown(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("mixed", name)
        await own.put("other", name)
        mixed = own.subscription("mixed")
        await own.bury(mixed, b"0")
        foreign = [
            Record(None, b'"foreign"', []),
            Record(None, b'"others"', [("eventbus-subscription", own.subscription("other").full_name.encode())]),
        ]
        await own.parts.sink.send(mixed.dead_letter_topic, foreign)
        await own.bury(mixed, b"1")
        assert await data(own, "/mixed/dead-letters") == [0, 1]
        assert await data(own, "/mixed/dead-letters", "limit=2") == [0, 1]

    play(scenario)


def test_those_from_a_topic_that_the_caller_may_not_read_any_more_are_not_shown(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("torn", name)
        torn = own.subscription("torn")
        await own.bury(torn, b"0", topic="test.ward")
        await own.bury(torn, b"1", topic="test.topic-open")
        assert await data(own, "/torn/dead-letters") == [0, 1]
        own.grant({"clinic": "test.topic*"})
        assert await data(own, "/torn/dead-letters") == [1]
        own.grant({"clinic": "test.ward"})
        (await own.call("GET", "/torn/dead-letters")).problem(403, "forbidden")

    play(scenario)


def test_a_query_that_cannot_be_is_refused(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("asked", name)
        for query in ("limit=0", "limit=1001", "from=latest"):
            (await own.call("GET", "/asked/dead-letters", query=query)).problem(400, "invalid_parameter")
        for cursor in ("nonsense", written("clinic.another.dlq", {0: 1})):
            refused = await own.call("GET", "/asked/dead-letters", query=f"cursor={cursor}")
            refused.problem(400, "invalid_cursor")

    play(scenario)


def test_a_page_has_a_bound_on_its_bytes_and_on_what_it_passes_over(broker: Broker, table: str, name: str) -> None:
    async def scenario() -> None:
        read = ReadSettings(max_answer_bytes=65_536, max_scanned_records=100)
        async with office(broker.bootstrap, table, read=read) as own:
            await own.put("large", name)
            large = own.subscription("large")
            await own.bury(large, *(b'"%s"' % (b"x" * 40_000) for _ in range(3)))
            await own.parts.sink.send(large.dead_letter_topic, [Record(None, b"0", []) for _ in range(350)])
            await own.bury(large, b'"last"')
            sizes, query = [], ""
            while True:
                page = (await own.call("GET", "/large/dead-letters", query=query)).document
                sizes.append(len(page["deadLetters"]))
                if page["cursor"] is None:
                    break
                query = f"cursor={page['cursor']}"
            assert sum(sizes) == 4
            assert max(sizes) < 4
            assert len(sizes) >= 4

    run(scenario)


class Away:
    """A registry that cannot be reached."""

    def ready(self, schema_id: SchemaId) -> Codec | None:
        return None

    async def load(self, schema_id: SchemaId) -> Codec:
        raise RegistryUnavailable


def test_one_that_cannot_be_decoded_now_ends_the_page_and_is_the_reason_when_it_comes_first(
    broker: Broker, table: str, name: str
) -> None:
    async def scenario() -> None:
        async with office(broker.bootstrap, table, codecs=Away()) as own:
            await own.put("coded", name)
            coded = own.subscription("coded")
            await own.bury(coded, b"0")
            await own.bury(coded, b"\0\0\0\0\7x", topic="test.avro")
            page = (await own.call("GET", "/coded/dead-letters")).document
            assert [letter["event"]["data"] for letter in page["deadLetters"]] == [0]
            refused = await own.call("GET", "/coded/dead-letters", query=f"cursor={page['cursor']}")
            refused.problem(503, "registry_unavailable")

    run(scenario)
