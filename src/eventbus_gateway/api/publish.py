"""``POST /v1/topics/{topic}/events``: the gateway's main job."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

import orjson

from eventbus_gateway.api import receipts
from eventbus_gateway.api.body import Media, decoded
from eventbus_gateway.api.commands import Command, command_of
from eventbus_gateway.api.events import Draft, cloudevents, lines, one_cloudevent, one_event
from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.idempotency import IdempotencyWindow
from eventbus_gateway.api.records import RecordBuilder, Schemata
from eventbus_gateway.api.settings import PublishSettings
from eventbus_gateway.api.topics import Topic, Topics
from eventbus_gateway.errors import EventError, EventTooLarge, Fault, InvalidEvent, InvalidHeader
from eventbus_gateway.kafka.records import Record, RecordSink
from eventbus_gateway.schemas.cache import Schemas
from eventbus_gateway.telemetry import Metrics

MAX_FAULTS = 100
# How many events are encoded before other requests get their turn on the loop.
_SLICE = 64
# Looked up once: members of an Enum are found by a slow path of their class.
_EVENT, _NDJSON = Media.EVENT, Media.NDJSON
_FINGERPRINTED = (b"content-type", b"content-encoding", b"schema-version")


class Publish:
    """Handles publishes.

    Args:
        topics: finds the topic.
        schemas: finds its schemas.
        sink: takes the records.
        settings: bounds.
        builder: makes records of drafts.
        metrics: where outcomes are counted.
    """

    def __init__(
        self,
        topics: Topics,
        schemas: Schemas,
        sink: RecordSink,
        settings: PublishSettings,
        builder: RecordBuilder,
        metrics: Metrics,
    ) -> None:
        self._topics = topics
        self._schemas = schemas
        self.sink = sink
        self._settings = settings
        self._builder = builder
        self._metrics = metrics
        self._window = IdempotencyWindow(
            settings.idempotency_window_seconds, settings.idempotency_max_keys, settings.idempotency_max_bytes
        )
        # As many as there are topics: what each was published with last, so that it need not be made anew.
        self._latest: dict[str, Schemata] = {}
        # Parsed batches are large: one at a time keeps their sum at one, whatever the callers do.
        self._bulk = asyncio.Lock()

    def through(self, sink: RecordSink) -> "Publish":
        """The same handler with the same memory, whose records take another way."""
        # Not copied: objects whose dictionary was asked for, the one here too, are slower from then on.
        other = Publish(self._topics, self._schemas, sink, self._settings, self._builder, self._metrics)
        other._window, other._latest, other._bulk = self._window, self._latest, self._bulk
        return other

    def __call__(self, request: Request) -> Awaitable[Answer]:
        """Store the request's events and answer with receipts, or say why not."""
        # No coroutine itself: each one that stands around another has to be made and passed through twice.
        command = command_of(request, self._settings.max_attribute_bytes)
        topic = self._topics.known(request.params["topic"])
        if topic is None:
            return self._publish_after_asking(request, command)
        return self._publish(request, command, topic)

    async def _publish_after_asking(self, request: Request, command: Command) -> Answer:
        topic = await self._topics.require(request.params["topic"])
        return await self._publish(request, command, topic)

    def _publish(self, request: Request, command: Command, topic: Topic) -> Awaitable[Answer]:
        key = command.idempotency_key
        if key is not None and not command.dry_run:
            return self._publish_once(request, command, topic, key)
        return (
            self._publish_batch(request, command, topic)
            if command.is_batch
            else self._publish_one(request, command, topic)
        )

    async def _publish_one(self, request: Request, command: Command, topic: Topic) -> Answer:
        schemata = self._ready(topic, command) or await self._schemata(topic, command)
        draft = self._draft(request, command, topic)
        try:
            event_id, record = self._builder.one(draft, request, command, topic, schemata)
        except InvalidEvent:
            newer = await self._newer(topic, command, schemata)
            if newer is None:
                raise
            schemata = newer
            event_id, record = self._builder.one(draft, request, command, topic, schemata)
        if command.dry_run:
            return _valid(1, schemata)
        if request.stay is not None:
            request.stay.publish(1, _size_of(record))
        started = time.perf_counter()
        outcomes = await self.sink.send(topic.name, (record,))
        self._metrics.ack_seconds.observe(time.perf_counter() - started)
        self._metrics.events.add((topic.name, receipts.name_of(outcomes[0])))
        schema = schemata[0]
        return receipts.single(topic.name, event_id, outcomes[0], schema.id if schema else None, request.path)

    async def _publish_batch(self, request: Request, command: Command, topic: Topic) -> Answer:
        schemata = self._ready(topic, command) or await self._schemata(topic, command)
        try:
            ids, records = await self._records(request, command, topic, schemata)
        except InvalidEvent:
            newer = await self._newer(topic, command, schemata)
            if newer is None:
                raise
            schemata = newer
            ids, records = await self._records(request, command, topic, schemata)
        if command.dry_run:
            return _valid(len(records), schemata)
        if request.stay is not None:
            request.stay.publish(len(records), sum([_size_of(record) for record in records]))
        started = time.perf_counter()
        outcomes = await self.sink.send(topic.name, records)
        self._metrics.ack_seconds.observe(time.perf_counter() - started)
        for name, count in receipts.tally(outcomes).items():
            self._metrics.events.add((topic.name, name), count)
        return receipts.batch(ids, outcomes, request.path)

    async def _publish_once(self, request: Request, command: Command, topic: Topic, key: bytes) -> Answer:
        scope = (request.principal.name, topic.name, key)
        known = self._window.begin(scope, _fingerprint(request))
        if known is not None:
            return known._replace(headers=(*known.headers, (b"idempotency-replayed", b"true")))
        kept: Answer | None = None
        try:
            publish = self._publish_batch if command.is_batch else self._publish_one
            answer = await publish(request, command, topic)
            if answer.status < 300:
                kept = answer
        finally:
            # Nothing is certain to be stored behind any other answer, so the same request may be tried again.
            self._window.end(scope, kept)
        return answer

    def _ready(self, topic: Topic, command: Command) -> Schemata | None:
        """The schemas of most requests, where nothing has to be waited for."""
        if not topic.is_avro or topic.has_avro_keys:
            return None
        version = command.schema_version or topic.settings.schema_version
        value = self._schemas.ready(topic.subject, version, topic.options)
        if value is None:
            return None
        before = self._latest.get(topic.name)
        if before is None or before[0] is not value:
            before = self._latest[topic.name] = Schemata(value, None)
        return before

    async def _schemata(self, topic: Topic, command: Command) -> Schemata:
        if not topic.is_avro and command.schema_version is not None:
            raise InvalidHeader("Schema-Version has no meaning for a topic without schema.")
        value = key = None
        if topic.is_avro:
            version = command.schema_version or topic.settings.schema_version
            value = self._schemas.ready(topic.subject, version, topic.options) or await self._schemas.get(
                topic.subject, version, topic.options
            )
        if topic.has_avro_keys:
            value_of_key = self._schemas.ready(topic.key_subject, None, topic.options)
            key = value_of_key or await self._schemas.get(topic.key_subject, None, topic.options)
        return Schemata(value, key)

    async def _newer(self, topic: Topic, command: Command, schemata: Schemata) -> Schemata | None:
        """The schemas again where the registry has newer ones than those that an event did not fit.

        Its producer may have registered one a moment ago.
        """
        value, key = schemata
        is_pinned = command.schema_version is not None or topic.settings.schema_version is not None
        newer_value = None if value is None or is_pinned else await self._schemas.newer(value, topic.options)
        newer_key = None if key is None else await self._schemas.newer(key, topic.options)
        if newer_value is None and newer_key is None:
            return None
        return Schemata(newer_value or value, newer_key or key)

    def _draft(self, request: Request, command: Command, topic: Topic) -> Draft:
        settings = self._settings
        body = request.body
        if command.encoding is not None or len(body) > settings.max_event_bytes:
            body = decoded(body, command.encoding, settings.max_event_bytes, settings.max_gzip_ratio)
        if command.media is _EVENT:
            return one_event(body, settings)
        _refuse_attributes_outside(command)
        return one_cloudevent(body, settings, not topic.is_avro)

    async def _records(
        self, request: Request, command: Command, topic: Topic, schemata: Schemata
    ) -> tuple[list[str], list[Record]]:
        settings = self._settings
        body = decoded(request.body, command.encoding, settings.max_batch_bytes, settings.max_gzip_ratio)
        build = self._builder.for_request(request, command, topic, schemata)
        if command.media is _NDJSON:
            _refuse_shared_id(command)
            return await _many(build, lines(body, settings))
        _refuse_attributes_outside(command)
        async with self._bulk:
            return await _many(build, cloudevents(body, settings, not topic.is_avro))


Build = Callable[[Draft], tuple[str, Record]]


async def _many(build: Build, drafts: Iterable[Draft]) -> tuple[list[str], list[Record]]:
    ids: list[str] = []
    records: list[Record] = []
    faults: list[Fault] = []
    faulty = total = 0
    for index, draft in enumerate(drafts):
        if index % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
        if draft.faults:
            found = [_moved(fault, f"/{index}") for fault in draft.faults]
        else:
            try:
                event_id, record = build(draft)
            except EventError as error:
                found = [_moved(fault, f"/{index}") for fault in error.faults]
            except EventTooLarge as error:
                found = [Fault(f"/{index}", error.detail)]
            else:
                ids.append(event_id)
                records.append(record)
                continue
        faulty += 1
        total += len(found)
        faults.extend(found[: MAX_FAULTS - len(faults)])
    if faulty:
        more = f" The first {MAX_FAULTS} of {total} faults are listed." if total > MAX_FAULTS else ""
        count = f"{faulty} of the batch's {faulty + len(records)} events"
        raise InvalidEvent(f"{count} cannot be published, so none was stored.{more}", faults)
    return ids, records


def _size_of(record: Record) -> int:
    return record.size or len(record.value) + 1


def _moved(fault: Fault, below: str) -> Fault:
    return Fault(below + fault.pointer, fault.detail)


def _refuse_attributes_outside(command: Command) -> None:
    if command.attributes:
        raise InvalidHeader("ce- headers have no meaning beside structured CloudEvents; put them into the envelope.")


def _refuse_shared_id(command: Command) -> None:
    if "id" in command.attributes:
        raise InvalidHeader("ce-id would give every line the same id; leave it out.")


def _fingerprint(request: Request) -> bytes:
    headers = request.headers
    parts: Sequence[bytes] = [
        *(headers.get(name, b"") for name in _FINGERPRINTED),
        *(b"%s:%s" % item for item in sorted(headers.items()) if item[0].startswith(b"ce-")),
        request.body,
    ]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.digest()


def _valid(events: int, schemata: Schemata) -> Answer:
    schema = schemata.value
    document = {
        "valid": True,
        "events": events,
        "schemaId": schema.id if schema is not None else None,
        "schemaVersion": schema.version if schema is not None else None,
    }
    return Answer(200, orjson.dumps(document))
