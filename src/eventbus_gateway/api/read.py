"""``GET /v1/topics/{topic}/events``: read a topic without a group."""

from collections.abc import Callable

from eventbus_gateway.api.cursor import written
from eventbus_gateway.api.drain import Drain
from eventbus_gateway.api.event_stream import PART_BYTES, EventStream, MeteredStream, rendered_lost
from eventbus_gateway.api.following import Batch, Ending, Following
from eventbus_gateway.api.http import Answer, Request, Stream
from eventbus_gateway.api.outgoings import Outgoings
from eventbus_gateway.api.read_request import ReadMedia, ReadRequest, read_request
from eventbus_gateway.api.settings import ReadSettings
from eventbus_gateway.api.topics import Topic, Topics
from eventbus_gateway.auth.accounts import Account
from eventbus_gateway.errors import Overloaded, ShuttingDown
from eventbus_gateway.kafka.reading import Edge, EventReader
from eventbus_gateway.telemetry import Metrics


class Read:
    """Answers reads. Nothing is remembered between two of them but what the caller's cursor says.

    Args:
        topics: finds topics.
        outgoings: makes events of records.
        reader: reads records.
        settings: bounds.
        drain: the end of the process.
        metrics: where events are counted.
    """

    def __init__(
        self,
        topics: Topics,
        outgoings: Outgoings,
        reader: EventReader,
        settings: ReadSettings,
        drain: Drain,
        metrics: Metrics,
    ) -> None:
        self._topics = topics
        self._outgoings = outgoings
        self._reader = reader
        self._settings = settings
        self._drain = drain
        self._metrics = metrics
        self.polls = 0
        """Reads under way, streams included."""
        self.streams = 0
        """Streams that are open."""

    async def __call__(self, request: Request) -> Answer:
        """The answer to a read.

        Raises:
            GatewayError: see ``read_request``, ``Topics.require`` and ``Following.next``.
        """
        asked = read_request(request, self._settings)
        topic = await self._topics.require(request.params["topic"])
        ending = Ending(self._drain, request.gone)
        leave = self._enter(request, asked.media)
        answer: Answer | None = None
        try:
            following = await self._begun(asked, topic, ending)
            if asked.media is ReadMedia.STREAM:
                first = await self._first(asked, following)
                events = EventStream(request, following, first, ending, asked.limit, self._settings, leave)
                answer = Answer(200, b"", asked.media.value, stream=self._metered(events, request.account, ending))
                return answer
            # HEAD asks what a GET would answer now.
            wait = asked.wait if request.method != "HEAD" else 0.0
            batch = await following.next(asked.limit, wait, self._settings.max_answer_bytes)
            if wait:
                await request.recheck()
            return self._answer(asked.media, following, batch)
        finally:
            if answer is None:
                ending.close()
                leave()

    async def _begun(self, asked: ReadRequest, topic: Topic, ending: Ending) -> Following:
        name = topic.name
        known = (await self._topics.metadata(name)).partitions

        def partitions() -> int:
            found = self._topics.all().get(name)
            return found.partitions if found is not None else known

        following = Following(
            self._reader,
            self._outgoings.of(topic),
            partitions,
            asked.pattern,
            self._settings.max_scanned_records,
            ending,
            lambda events: self._metrics.read_events.add((name,), events),
        )
        start = asked.start
        following.at = await self._reader.at_time(name, known, start) if isinstance(start, int) else start
        return following

    async def _first(self, asked: ReadRequest, following: Following) -> Batch:
        # What is wrong with a read is said by the status, so its first step comes before the stream begins.
        first = await following.next(asked.limit, 0.0, PART_BYTES)
        if isinstance(following.at, Edge):
            raise ShuttingDown
        return first

    def _metered(self, events: EventStream, account: Account | None, ending: Ending) -> Stream:
        if account is None:
            return events
        return MeteredStream(events, account, ending, self._settings.heartbeat_seconds)

    def _answer(self, media: ReadMedia, following: Following, batch: Batch) -> Answer:
        if isinstance(following.at, Edge):
            raise ShuttingDown
        cursor = written(following.topic, following.at).encode()
        if media is ReadMedia.LINES:
            headers: tuple[tuple[bytes, bytes], ...] = ((b"x-cursor", cursor),)
            if batch.lost:
                headers = (*headers, (b"x-lost", rendered_lost(batch.lost)))
            return Answer(200, b"\n".join([*batch.events, b""]), media.value, headers)
        lost = b',"lost":' + rendered_lost(batch.lost) if batch.lost else b""
        return Answer(200, b'{"events":[%s],"cursor":"%s"%s}' % (b",".join(batch.events), cursor, lost))

    def _enter(self, request: Request, media: ReadMedia) -> Callable[[], None]:
        """Count a read; what is returned has to be called when it is over."""
        is_stream = media is ReadMedia.STREAM
        if self.polls >= self._settings.max_concurrent_polls:
            raise Overloaded("Too many reads are under way.", retry_after=1.0)
        if is_stream and self.streams >= self._settings.max_streams:
            raise Overloaded("Too many streams are open.", retry_after=1.0)
        account = request.account
        end = None if account is None else account.begin_read(is_stream=is_stream)
        self.polls += 1
        self.streams += is_stream

        def leave() -> None:
            self.polls -= 1
            self.streams -= is_stream
            if end is not None:
                end()

        return leave
