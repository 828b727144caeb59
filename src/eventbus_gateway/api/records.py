"""From a draft to a Kafka record: attributes filled in, data and key encoded, headers laid out."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from eventbus_gateway.api.attributes import Attributes, in_headers
from eventbus_gateway.api.commands import Command
from eventbus_gateway.api.events import Draft
from eventbus_gateway.api.http import Request
from eventbus_gateway.api.ids import IdSource
from eventbus_gateway.api.topics import MISSING, Topic, at_path
from eventbus_gateway.errors import EventError, EventTooLarge, Fault, InvalidAttribute, InvalidEvent
from eventbus_gateway.kafka.records import Record
from eventbus_gateway.schemas.cache import Schema
from eventbus_gateway.subscriptions.instants import Timestamps

Headers = list[tuple[str, bytes]]
KeyReader = Callable[[Attributes, Any], bytes | None]

# Filled in for every event, in this order; whatever else a caller sent comes behind.
_FILLED = frozenset({"specversion", "id", "source", "type", "time", "correlationid"})
# What Kafka adds around a record in a batch (KIP-98), so that the largest allowed one still fits.
_OVERHEAD = 128
_MAX_LAYOUTS = 1_024
# Each header has the lengths of its name and of its value in front of them, as varints of two and of three bytes.
_HEADER_OVERHEAD = 5
_FILLED_OVERHEAD = len("ce_time") + len("ce_correlationid") + 2 * _HEADER_OVERHEAD
_ENVELOPE = {"specversion", "data"}
_NO_KEY = "is missing, it is the key of the event"


# Past the keyword handling of a named tuple's own constructor, for what is made once an event.
_new = tuple.__new__


class Schemata(NamedTuple):
    """The schemas that a topic's records are encoded with.

    Args:
        value: of the data, None to store the JSON as it came.
        key: of the keys, None for string keys.
    """

    value: Schema | None
    key: Schema | None


class Layout:
    """How one principal's events become records of one topic, as far as it is the same for all of them.

    Args:
        topic: where they go.
        schemata: what they are encoded with.
        principal: name of who publishes.
        room: bytes that key, value and headers may have together.
    """

    __slots__ = (
        "_constant",
        "_constant_size",
        "_encode",
        "_key_of",
        "_kind",
        "_room",
        "_source",
        "_topic",
        "schemata",
    )

    def __init__(self, topic: Topic, schemata: Schemata, principal: str, room: int) -> None:
        self.schemata = schemata
        value, key = schemata
        self._topic = topic
        self._room = room
        self._encode = value.codec.encode if value is not None else None
        self._key_of = _key_reader(topic, key)
        self._source = (topic.settings.source or f"/principals/{principal}").encode()
        self._kind = (topic.settings.type or (value.codec.name if value is not None else topic.name)).encode()
        self._constant: Headers = [
            *topic.constant_headers,
            ("ce_source", self._source),
            ("ce_type", self._kind),
        ]
        self._constant_size = _size(self._constant)

    def plain(self, now: bytes, correlation_id: bytes, event_id: bytes) -> tuple[Headers, int]:
        """The headers of a record to which its caller added nothing, and their size."""
        headers: Headers = [
            *self._constant,
            ("ce_time", now),
            ("ce_correlationid", correlation_id),
            ("ce_id", event_id),
        ]
        return headers, self._constant_size + len(now) + len(correlation_id) + len(event_id) + _FILLED_OVERHEAD

    def headers(
        self, attributes: Attributes, now: bytes, correlation_id: bytes, trace: Headers
    ) -> tuple[Headers, int]:
        """A record's headers without its id, and their size.

        Args:
            attributes: what the caller said.
            now: the time that fills in.
            correlation_id: the correlation that fills in.
            trace: trace context.
        """
        if not attributes and not trace:
            plain: Headers = [*self._constant, ("ce_time", now), ("ce_correlationid", correlation_id)]
            return plain, self._constant_size + len(now) + len(correlation_id) + _FILLED_OVERHEAD
        headers: Headers = list(self._topic.constant_headers)
        defaults = (("source", self._source), ("type", self._kind), ("time", now), ("correlationid", correlation_id))
        for name, default in defaults:
            given = attributes.get(name)
            headers.append((f"ce_{name}", given.encode() if given is not None else default))
        for name, text in attributes.items():
            if name not in _FILLED:
                headers.append((f"ce_{name}", text.encode()))
        headers.extend(trace)
        return headers, _size(headers)

    def record(self, draft: Draft, attributes: Attributes, headers: Headers, size: int) -> Record:
        """The record of one draft.

        Args:
            draft: the event.
            attributes: its attributes.
            headers: its headers, now the record's.
            size: their size.

        Raises:
            InvalidEvent: data or key do not fit, with all faults of both.
            InvalidAttribute: a key is needed as an attribute and is not there.
            EventTooLarge: the record would be too large.
        """
        encode = self._encode
        try:
            data = encode(draft.data) if encode is not None else draft.raw
        except InvalidEvent as error:
            of_key = _key_fault(self._key_of, attributes, draft.data)
            raise _refusal(draft, [error] if of_key is None else [error, of_key]) from None
        try:
            key = self._key_of(attributes, draft.data)
        except EventError as error:
            raise _refusal(draft, [error]) from None
        size += len(data)
        if key is not None:
            size += len(key)
        if size > self._room:
            raise EventTooLarge(f"An encoded event may have {self._room} bytes with its key and attributes.")
        return _new(Record, (key, data, headers, size))


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
        self._room = max_record_bytes - _OVERHEAD
        self._ids = ids if ids is not None else IdSource(now_ns)
        self._now_ns = now_ns
        self._timestamps = Timestamps()
        self._millisecond = -1
        self._now = b""
        self._layouts: dict[tuple[str, str], Layout] = {}

    def one(
        self, draft: Draft, request: Request, command: Command, topic: Topic, schemata: Schemata
    ) -> tuple[str, Record]:
        """The id and the record of a request's only event.

        Args:
            draft: the event.
            request: where it came from.
            command: what the request says beside it.
            topic: where it goes.
            schemata: what it is encoded with.

        Raises what :meth:`Layout.record` raises.
        """
        if not command.is_plain or draft[2] is not None:
            return self.for_request(request, command, topic, schemata)(draft)
        layout = self._layout(topic, schemata, request.principal.name)
        event_id = self._ids()
        headers, size = layout.plain(self._time(), request.request_id.encode(), event_id.encode())
        return event_id, layout.record(draft, command.attributes, headers, size)

    def for_request(
        self, request: Request, command: Command, topic: Topic, schemata: Schemata
    ) -> Callable[[Draft], tuple[str, Record]]:
        """What makes records of one request's drafts: returns the event's id and its record.

        Args:
            request: where the events came from.
            command: what the request says for all events that say nothing themselves.
            topic: where they go.
            schemata: what they are encoded with.

        The result raises what :meth:`Layout.record` raises.
        """
        layout = self._layout(topic, schemata, request.principal.name)
        attributes, trace = command.attributes, command.trace
        now = self._time()
        correlation_id = request.request_id.encode()
        shared, shared_size = layout.headers(attributes, now, correlation_id, trace)
        shared_id = attributes.get("id")
        new_id = self._ids
        record = layout.record

        def build(draft: Draft) -> tuple[str, Record]:
            own = draft.attributes
            if own is None:
                event_id = shared_id or new_id()
                id_bytes = event_id.encode()
                headers = [*shared, ("ce_id", id_bytes)]
                return event_id, record(draft, attributes, headers, shared_size + len(id_bytes))
            event_id = own.get("id") or new_id()
            id_bytes = event_id.encode()
            headers, size = layout.headers(own, now, correlation_id, trace)
            headers.append(("ce_id", id_bytes))
            return event_id, record(draft, own, headers, size + len(id_bytes))

        return build

    def _time(self) -> bytes:
        millisecond = self._now_ns() // 1_000_000
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            self._now = self._timestamps(millisecond).encode()
        return self._now

    def _layout(self, topic: Topic, schemata: Schemata, principal: str) -> Layout:
        known = self._layouts.get((topic.name, principal))
        if known is not None and (known.schemata is schemata or known.schemata == schemata):
            return known
        layout = Layout(topic, schemata, principal, self._room)
        if len(self._layouts) >= _MAX_LAYOUTS:
            self._layouts.clear()
        self._layouts[topic.name, principal] = layout
        return layout


def _key_fault(key_of: KeyReader, attributes: Attributes, data: Any) -> EventError | None:
    try:
        key_of(attributes, data)
    except EventError as error:
        return error
    return None


def _refusal(draft: Draft, errors: Sequence[EventError]) -> EventError:
    """All faults of an event at once, each with its pointer from the event's own place; one per place in the data."""
    has_envelope = draft.attributes is not None
    faults: list[Fault] = []
    told: list[str] = []
    for error in errors:
        if isinstance(error, InvalidAttribute):
            faults += error.faults if has_envelope else in_headers(error.faults)
        else:
            new = [fault for fault in error.faults if not _is_told(fault.pointer, told)]
            faults += _below(new, "/data") if has_envelope else new
            told = [fault.pointer for fault in new]
    detail = errors[0].detail
    if len(faults) > len(errors[0].faults):
        detail += " Its key has faults, too."
    if not has_envelope and isinstance(draft.data, dict) and draft.data.keys() >= _ENVELOPE:
        detail += " It looks like a CloudEvent in an envelope, whose Content-Type is application/cloudevents+json."
    return type(errors[0])(detail, faults)


def _is_told(pointer: str, told: Iterable[str]) -> bool:
    """Whether a fault is known at this place or around it: what is no object has no key either."""
    return any(pointer == known or pointer.startswith(f"{known}/") for known in told)


def _size(headers: Headers) -> int:
    return sum(len(name) + len(value) + _HEADER_OVERHEAD for name, value in headers)


def _key_reader(topic: Topic, schema: Schema | None) -> KeyReader:
    """What finds and encodes a record's key: ``partitionkey`` first, then the topic's pointer into the data."""
    path = topic.key_path
    pointer = topic.settings.key or ""
    required = topic.key_required
    encode = schema.codec.encode if schema is not None else None
    # Nearly every key is a string in a field of the event itself; all else takes the longer way.
    field = path[0] if path is not None and len(path) == 1 and encode is None else None

    def key_of(attributes: Attributes, data: Any) -> bytes | None:
        if not attributes and data.__class__ is dict:
            found = data.get(field)
            if found.__class__ is str and found:
                return found.encode()
        explicit = attributes.get("partitionkey")
        if explicit is not None:
            return explicit.encode() if encode is None else _encoded_attribute(encode, explicit)
        found = at_path(data, path) if path is not None else MISSING
        if found is MISSING or found is None:
            if not required:
                return None
            if path is None:
                raise InvalidAttribute("The event has no key.", [Fault("/partitionkey", _NO_KEY)])
            raise InvalidEvent("The event has no key.", [Fault(pointer, _NO_KEY)])
        if encode is None:
            return _text_key(found, pointer)
        try:
            return encode(found)
        except InvalidEvent as error:
            raise InvalidEvent("The key does not fit its schema.", _below(error.faults, pointer)) from None

    return key_of


def _encoded_attribute(encode: Callable[[Any], bytes], text: str) -> bytes:
    try:
        return encode(text)
    except InvalidEvent as error:
        faults = _below(error.faults, "/partitionkey")
        raise InvalidAttribute("The partitionkey does not fit the schema of the topic's keys.", faults) from None


def _below(faults: Iterable[Fault], pointer: str) -> list[Fault]:
    return [Fault(pointer + fault.pointer, fault.detail) for fault in faults]


def _text_key(found: Any, pointer: str) -> bytes:
    """A string key; whole numbers by their decimal digits, since identifiers often are."""
    if isinstance(found, str) and found:
        return found.encode()
    if isinstance(found, int) and not isinstance(found, bool):
        return b"%d" % found
    detail = "expected a non-empty string or a whole number, it is the key of the event"
    raise InvalidEvent("The key of the event is not usable.", [Fault(pointer, detail)])
