"""Server-Sent Events: what a browser's EventSource gets, and how a stream ends."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from tests.api.wire import PATIENCE, both_ways, edge, eventually
from tests.serving import Served, Way, served

from eventbus_gateway.api.cursor import positions_in, written
from eventbus_gateway.api.settings import ReadSettings, TopicSettings
from eventbus_gateway.errors import KafkaUnavailable
from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.kafka.records import Record

TOPIC = "appointments"
TARGET = "/v1/topics/appointments/events"


class Message(NamedTuple):
    """One message as an EventSource takes it apart; ``data`` is None for an id, a comment or a time alone."""

    event: str
    id: str | None
    data: Any
    lines: tuple[str, ...]


class Source:
    """A reader of a stream that reads only when it is told to.

    Args:
        gateway: whom to connect to.
        query: of the target.
        headers: beside ``Accept``.
        receive_buffer: bytes that the kernel takes for it.
    """

    def __init__(
        self,
        gateway: Served,
        query: str = "",
        headers: dict[str, str] | None = None,
        receive_buffer: int | None = None,
        version: str = "1.1",
    ) -> None:
        self._socket = socket.socket()
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(("127.0.0.1", gateway.port))
        sent = {"host": "a", "accept": "text/event-stream", **(headers or {})}
        lines = [f"GET {TARGET}{query} HTTP/{version}", *(f"{name}: {value}" for name, value in sent.items())]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._file = self._socket.makefile("rb")
        self._text = ""
        self.last_id: str | None = None

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers."""
        status = int(self._file.readline().split()[1])
        headers: dict[str, str] = {}
        while (line := self._file.readline().decode().strip()) != "":
            name, _, value = line.partition(": ")
            headers[name] = value
        return status, headers

    def message(self) -> Message:
        """The next message; raises EOFError at the end of the stream."""
        while "\n\n" not in self._text:
            self._text += self._chunk()
        block, _, self._text = self._text.partition("\n\n")
        event, data, lines = "message", None, tuple(block.split("\n"))
        for line in lines:
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "id":
                self.last_id = value
            elif name == "data":
                assert data is None
                data = json.loads(value)
        return Message(event, self.last_id, data, lines)

    def messages(self, count: int) -> list[Message]:
        """The next messages that have data."""
        found: list[Message] = []
        while len(found) < count:
            message = self.message()
            if message.data is not None:
                found.append(message)
        return found

    def ends(self) -> bool:
        """Whether the stream comes to its proper end and has no more messages with data."""
        try:
            while True:
                assert self.message().data is None
        except EOFError:
            return True

    def closed(self) -> bool:
        """Whether the connection ends."""
        return self._file.read() == b""

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def reset(self) -> None:
        """Go away without saying goodbye."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.close()

    def _chunk(self) -> str:
        size = int(self._file.readline() or b"-1", 16)
        assert size >= 0, "the connection ended within the stream"
        data = self._file.read(size)
        assert self._file.readline() == b"\r\n"
        if size == 0:
            raise EOFError
        return data.decode()


@contextmanager
def source(gateway: Served, query: str = "", **options: Any) -> Iterator[Source]:
    one = Source(gateway, query, **options)
    try:
        yield one
    finally:
        one.close()


@contextmanager
def open_source(gateway: Served, query: str = "", **options: Any) -> Iterator[Source]:
    """A stream behind its head."""
    with source(gateway, query, **options) as one:
        status, headers = one.head()
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        assert headers["transfer-encoding"] == "chunked"
        assert "content-length" not in headers
        assert headers["cache-control"] == "no-store"
        yield one


def store(gateway: Served, *values: bytes) -> None:
    """Append records to partition 0 and wake whoever waits."""

    def append() -> None:
        gateway.kafka.logs.setdefault((TOPIC, 0), []).extend(Record(None, value, []) for value in values)
        for listener in gateway.kafka.listeners:
            listener()

    gateway.call(append)


@contextmanager
def streaming(way: Way = "protocol", partitions: int = 2, **read: Any) -> Iterator[Served]:
    """A gateway with a topic of JSON."""
    topics = {TOPIC: TopicSettings(format="json")}
    kafka = MemoryKafka({TOPIC: partitions})
    with served(way=way, kafka=kafka, topics=topics, read=ReadSettings(**read)) as gateway:
        yield gateway
        assert eventually(lambda: (gateway.read.polls, gateway.read.streams) == (0, 0))


def data(messages: list[Message]) -> list[Any]:
    return [message.data["data"] for message in messages]


def at_end(gateway: Served) -> bool:
    """Whether a stream has come to wait for the next record."""
    return eventually(lambda: gateway.reader.waiting == 1)


@both_ways
def test_a_stream_gives_what_is_there_and_then_what_comes(way: Way) -> None:
    with streaming(way) as gateway:
        store(gateway, b"1", b"2")
        with open_source(gateway) as one:
            assert data(one.messages(2)) == [1, 2]
            assert at_end(gateway)
            for number in range(3, 6):
                store(gateway, b"%d" % number)
                assert data(one.messages(1)) == [number]


def test_the_first_thing_in_a_stream_says_when_and_where_to_come_back() -> None:
    with streaming() as gateway:
        store(gateway, b"1")
        with open_source(gateway, "?from=latest") as one:
            first = one.message()
            assert first.lines[0].startswith("retry: ")
            assert first.data is None
            assert first.id is not None
            assert positions_in(first.id, TOPIC) == {0: 1, 1: 0}
        store(gateway, b"2")
        with open_source(gateway, "?from=latest", headers={"last-event-id": first.id}) as again:
            assert data(again.messages(1)) == [2]


def test_a_stream_goes_on_behind_every_id_that_it_gave() -> None:
    with streaming() as gateway:
        gateway.kafka.logs = {(TOPIC, 1): [Record(None, b'"%d"' % number, []) for number in range(5)]}
        store(gateway, *[b"%d" % number for number in range(5)])
        with open_source(gateway) as one:
            messages = one.messages(10)
        everything = data(messages)
        assert sorted(map(str, everything)) == sorted([str(number) for number in range(5)] * 2)
        for at, message in enumerate(messages):
            assert message.id is not None
            rest = everything[at + 1 :]
            with open_source(gateway, "?from=earliest", headers={"last-event-id": message.id}) as again:
                assert data(again.messages(len(rest))) == rest
            answer = gateway.client.get(TARGET, params={"cursor": message.id})
            assert [event["data"] for event in answer.json()["events"]] == rest


def test_a_stream_can_begin_at_a_cursor_of_an_answer() -> None:
    with streaming() as gateway:
        store(gateway, b"1", b"2", b"3")
        cursor = gateway.client.get(TARGET, params={"limit": 2}).json()["cursor"]
        with open_source(gateway, f"?cursor={cursor}") as one:
            assert data(one.messages(1)) == [3]


def test_text_with_line_breaks_stays_in_one_message() -> None:
    with streaming() as gateway:
        store(gateway, b'{\n  "a": 1\r\n}', b"2")
        with open_source(gateway) as one:
            assert data(one.messages(2)) == [{"a": 1}, 2]


def test_a_stream_without_events_says_that_it_is_alive() -> None:
    with streaming(heartbeat_seconds=0.05) as gateway, open_source(gateway) as one:
        one.message()
        for _ in range(3):
            assert one.message().lines == (": still here",)


def test_records_that_a_filter_passes_over_move_the_cursor_without_a_message() -> None:
    with (
        streaming(heartbeat_seconds=0.05) as gateway,
        open_source(gateway, "?filter=%7B%22data%22%3A%5B3%5D%7D") as one,
    ):
        one.message()
        store(gateway, b"1", b"2")
        moved = one.message()
        while moved.lines == (": still here",):
            moved = one.message()
        assert moved.data is None
        assert moved.id is not None
        assert positions_in(moved.id, TOPIC) == {0: 2, 1: 0}
        store(gateway, b"3")
        assert data(one.messages(1)) == [3]


def test_what_is_lost_is_told_by_a_message_of_its_own() -> None:
    with streaming() as gateway:
        store(gateway, b"1", b"2")
        gateway.reader.lows[TOPIC, 0] = 1
        with open_source(gateway, "?cursor=" + written(TOPIC, {0: 0, 1: 0})) as one:
            lost, event = one.messages(2)
            assert (lost.event, lost.data) == (
                "lost",
                [{"partition": 0, "asked": 0, "resumed": 1, "reason": "expired"}],
            )
            assert (event.event, event.data["data"]) == ("message", 2)


def test_what_is_wrong_at_the_beginning_is_a_plain_answer() -> None:
    with streaming() as gateway:
        for query, headers, status in (
            ("?from=yesterday", {}, 400),
            ("", {"last-event-id": "made-up"}, 400),
            ("?filter=[]", {}, 422),
        ):
            with source(gateway, query, headers=headers) as one:
                found, told = one.head()
                assert (found, told["content-type"]) == (status, "application/problem+json")
        gateway.reader.refusal = KafkaUnavailable()
        with source(gateway) as one:
            assert one.head()[0] == 503
        gateway.reader.refusal = None
        assert eventually(lambda: gateway.read.streams == 0)


def test_what_goes_wrong_later_is_told_and_ends_the_stream() -> None:
    with streaming(heartbeat_seconds=0.05) as gateway:
        store(gateway, b"1")
        with open_source(gateway) as one:
            assert data(one.messages(1)) == [1]
            gateway.reader.refusal = KafkaUnavailable()
            (problem,) = one.messages(1)
            assert (problem.event, problem.data["code"]) == ("problem", "kafka_unavailable")
            assert one.ends()
            gateway.reader.refusal = None
        store(gateway, b"2")
        with open_source(gateway, headers={"last-event-id": problem.id}) as again:
            assert data(again.messages(1)) == [2]


def test_a_failure_of_the_gateway_cuts_the_stream_off_and_nothing_else() -> None:
    with streaming(heartbeat_seconds=0.05) as gateway:
        with open_source(gateway) as one:
            one.message()
            gateway.reader.refusal = ArithmeticError()  # type: ignore[assignment]
            with pytest.raises(AssertionError, match="ended within the stream"):
                one.messages(1)
        gateway.reader.refusal = None
        assert gateway.client.get(TARGET).status_code == 200


def test_streams_are_bounded_and_a_place_is_free_when_one_ends() -> None:
    with (
        streaming(max_streams=2, heartbeat_seconds=0.05) as gateway,
        open_source(gateway) as one,
        open_source(gateway) as other,
    ):
        with source(gateway) as third:
            status, headers = third.head()
            assert (status, headers["retry-after"]) == (503, "1")
        assert gateway.client.get(TARGET).status_code == 200, "reads that are no streams go on"
        one.reset()
        assert eventually(lambda: gateway.read.streams == 1)
        with open_source(gateway) as fourth:
            fourth.message()
        other.message()


@pytest.mark.parametrize("leave", [Source.close, Source.reset], ids=["closes", "resets"])
@pytest.mark.parametrize("way", ["protocol", "asgi", "uvicorn"])
def test_a_reader_that_goes_away_leaves_nothing_behind(way: Way, leave: Any) -> None:
    with streaming(way) as gateway:
        one = Source(gateway)
        assert one.head()[0] == 200
        assert at_end(gateway)
        leave(one)
        assert eventually(lambda: gateway.read.streams == gateway.reader.waiting == 0)


def test_a_reader_that_does_not_read_is_cut_off_and_costs_little_until_then() -> None:
    kafka = MemoryKafka({TOPIC: 1})
    kafka.logs[TOPIC, 0] = [Record(None, b'"%s"' % (b"x" * 50_000), []) for _ in range(1_000)]
    with edge(kafka=kafka, idle_timeout_seconds=1.0) as gateway:
        one = Source(gateway, receive_buffer=4_096)
        assert one.head()[0] == 200
        assert eventually(lambda: gateway.read.streams == 0, within=10)
        assert sum(len(ask.topic) > 0 for ask in gateway.reader.asks) < 100, "it is read only as fast as it reads"
        one.close()


def test_a_stream_ends_when_its_time_is_over_and_can_be_resumed() -> None:
    with streaming(stream_seconds=1.0, heartbeat_seconds=0.3) as gateway:
        store(gateway, b"1")
        with open_source(gateway) as one:
            assert data(one.messages(1)) == [1]
            assert one.ends()
        assert eventually(lambda: gateway.read.streams == 0)


@both_ways
def test_streams_end_when_the_process_does(way: Way) -> None:
    with streaming(way) as gateway, open_source(gateway) as one, open_source(gateway) as other:
        one.message()
        other.message()
        assert eventually(lambda: gateway.reader.waiting == 2)
        gateway.stop()
        assert one.ends()
        assert other.ends()
        assert one.closed()
        assert gateway.ended(within=PATIENCE)


def test_a_stream_needs_chunks_which_http_1_0_does_not_have() -> None:
    with streaming() as gateway, source(gateway, version="1.0") as one:
        status, headers = one.head()
        assert (status, headers["content-type"]) == (406, "application/problem+json")


def test_events_of_streams_are_counted() -> None:
    with streaming() as gateway:
        store(gateway, b"1", b"2")
        with open_source(gateway) as one:
            one.messages(2)
        assert gateway.metrics.read_events.values[TOPIC,] == 2
