"""From a draft to a Kafka record: attributes filled in, data and key encoded, headers laid out."""

import time
from collections.abc import Callable
from typing import Any

from eventbus_gateway.api.attributes import Attributes, trace_headers
from eventbus_gateway.api.events import Draft
from eventbus_gateway.api.http import Request
from eventbus_gateway.api.ids import IdSource, Timestamps
from eventbus_gateway.api.topics import MISSING, Topic, at_path
from eventbus_gateway.errors import EventError, EventTooLarge, Fault, InvalidAttribute, InvalidEvent
from eventbus_gateway.kafka.records import Record
from eventbus_gateway.schemas.cache import Schema

Headers = list[tuple[str, bytes]]
KeyReader = Callable[[Attributes, Any], bytes | None]

# Filled in for every event, in this order; whatever else a caller sent comes behind.
_FILLED = frozenset({"specversion", "id", "source", "type", "time", "correlationid"})
# What Kafka adds around a record in a batch (KIP-98), so that the largest allowed one still fits.
_RECORD_OVERHEAD = 128


class RecordBuilder:
    """Makes records of drafts.

    Args:
        max_record_bytes: bound on key, value and headers together.
        ids: makes event ids.
        now_ns: nanoseconds since the epoch.
    """

    def __init__(
        self, max_record_bytes: int, ids: IdSource | None = None, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._room = max_record_bytes - _RECORD_OVERHEAD
        self._ids = ids if ids is not None else IdSource(now_ns)
        self._now_ns = now_ns
        self._timestamps = Timestamps()

    def for_request(
        self, request: Request, attributes: Attributes, topic: Topic, value: Schema | None, key: Schema | None
    ) -> Callable[[Draft], tuple[str, Record]]:
        """What makes records of one request's drafts: returns the event's id and its record.

        Args:
            request: where the events came from.
            attributes: what the request says for all events that say nothing themselves.
            topic: where they go.
            value: schema of the data, None to store the JSON as it came.
            key: schema of the keys, None for string keys.

        The result raises InvalidEvent, InvalidAttribute and EventTooLarge.
        """
        trace = trace_headers(request.headers)
        now = self._timestamps(self._now_ns() // 1_000_000)
        source = topic.settings.source or f"/principals/{request.principal.name}"
        kind = topic.settings.type or (value.codec.name if value is not None else topic.name)
        defaults = {"source": source, "type": kind, "time": now, "correlationid": request.request_id}
        shared = _laid_out(topic, attributes, defaults, trace)
        shared_size = _size(shared)
        new_id = self._ids
        encode = value.codec.encode if value is not None else None
        key_of = _key_reader(topic, key)
        room = self._room

        def build(draft: Draft) -> tuple[str, Record]:
            own = draft.attributes
            if own is None:
                own, laid_out, size = attributes, shared, shared_size
            else:
                laid_out = _laid_out(topic, own, defaults, trace)
                size = _size(laid_out)
            try:
                data = encode(draft.data) if encode is not None else draft.raw
            except InvalidEvent as error:
                raise _with_key_faults(error, key_of, own, draft.data) from None
            key_bytes = key_of(own, draft.data)
            if size + len(data) + (len(key_bytes) if key_bytes is not None else 0) > room:
                raise EventTooLarge(f"An encoded event may have {room} bytes with its key and attributes.")
            event_id = own.get("id") or new_id()
            return event_id, Record(key_bytes, data, [*laid_out, ("ce_id", event_id.encode())])

        return build


def _with_key_faults(error: InvalidEvent, key_of: KeyReader, attributes: Attributes, data: Any) -> InvalidEvent:
    """All faults of an event at once: the key's behind those of the data, unless they are at the same place."""
    try:
        key_of(attributes, data)
    except EventError as of_key:
        told = {fault.pointer for fault in error.faults}
        more = [fault for fault in of_key.faults if fault.pointer not in told]
        return InvalidEvent(error.detail, [*error.faults, *more])
    return error


def _size(headers: Headers) -> int:
    return sum(len(name) + len(value) for name, value in headers)


def _laid_out(topic: Topic, attributes: Attributes, defaults: dict[str, str], trace: Headers) -> Headers:
    headers: Headers = list(topic.constant_headers)
    for name, default in defaults.items():
        headers.append((f"ce_{name}", attributes.get(name, default).encode()))
    for name, text in attributes.items():
        if name not in _FILLED:
            headers.append((f"ce_{name}", text.encode()))
    headers.extend(trace)
    return headers


def _key_reader(topic: Topic, schema: Schema | None) -> KeyReader:
    """What finds and encodes a record's key: ``partitionkey`` first, then the topic's pointer into the data."""
    path = topic.key_path
    pointer = topic.settings.key or ""
    required = topic.key_required
    encode = schema.codec.encode if schema is not None else None

    def key_of(attributes: Attributes, data: Any) -> bytes | None:
        explicit = attributes.get("partitionkey")
        if explicit is not None:
            return encode(explicit) if encode is not None else explicit.encode()
        found = at_path(data, path) if path is not None else MISSING
        if found is MISSING or found is None:
            if not required:
                return None
            if path is None:
                raise InvalidAttribute("The event has no key.", [Fault("/partitionkey", "is missing")])
            raise InvalidEvent("The event has no key.", [Fault(pointer, "is missing, it is the key of the event")])
        if encode is None:
            return _text_key(found, pointer)
        try:
            return encode(found)
        except InvalidEvent as error:
            raise InvalidEvent("The key does not fit its schema.", _below(error, pointer)) from None

    return key_of


def _below(error: InvalidEvent, pointer: str) -> list[Fault]:
    return [Fault(pointer + fault.pointer, fault.detail) for fault in error.faults]


def _text_key(found: Any, pointer: str) -> bytes:
    """A string key; whole numbers by their decimal digits, since identifiers often are."""
    if isinstance(found, str) and found:
        return found.encode()
    if isinstance(found, int) and not isinstance(found, bool):
        return b"%d" % found
    detail = "expected a non-empty string or a whole number, it is the key of the event"
    raise InvalidEvent("The key of the event is not usable.", [Fault(pointer, detail)])
