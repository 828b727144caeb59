"""From Kafka records to CloudEvents 1.0 in JSON.

Attributes come from the ``ce_*`` headers. What is missing there is filled in so that every reading of a record gives
the same event: ``id`` from its place, ``source`` and ``type`` from the topic's settings and its schema, ``time`` from
its timestamp. Beside them an event has ``topic``, ``partition``, ``offset``, ``partitionkey`` (``partitionkeybase64``
for a key that is no text) and ``data``, or in place of ``data``:

- ``tombstone: true`` for a record without a value;
- ``data_base64``, ``undecodable`` (a stable code) and ``undecodablereason`` for a record that cannot be decoded.

A schema registry that gives no answer makes no event undecodable: that is raised, and whoever asks waits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from eventbus_gateway.base64_text import base64_text
from eventbus_gateway.errors import CorruptRecord, SchemaMissing, SchemaUnusable
from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.runs import are_alike
from eventbus_gateway.schema_ids import SchemaId
from eventbus_gateway.subscriptions.attributes import key_text, stored_attributes
from eventbus_gateway.subscriptions.codecs import Codec, Unpacking
from eventbus_gateway.subscriptions.forms import AVRO, IS_AVRO, JSON, Form, NotDecoded, SchemaNeeded, Undecodable
from eventbus_gateway.subscriptions.instants import Timestamps
from eventbus_gateway.subscriptions.layouts import Layouts, Values, are_plain
from eventbus_gateway.subscriptions.patterns import Pattern
from eventbus_gateway.subscriptions.splicing import all_checked, checked, in_line

Event = dict[str, Any]
"""An event as orjson renders it: members by name, ``data`` as a value or as a fragment of JSON text."""

_OCTETS = "application/octet-stream"
_MAX_RECENT = 16
_NO_JSON = Undecodable("invalid_json", "The record is not JSON.")

Found = Mapping[SchemaId, Codec | Undecodable]
_NOTHING: Found = {}


class Outgoing:
    """Makes events of one topic's records.

    Args:
        form: how they are stored.
    """

    def __init__(self, form: Form) -> None:
        self.form = form
        self._frame = form.framing.size
        self._lead = form.framing.lead
        # By the whole frame: nearly all records of a topic have one of very few schemas.
        self._recent: dict[bytes, Codec] = {}
        self._rendered = Timestamps()
        self.layouts = Layouts(form.topic)

    def text(self, record: Consumed, tail: bytes) -> bytes | None:
        """The JSON text of an event; None where it is not put together that easily: then :meth:`event` tells more.

        Args:
            record: the record.
            tail: what follows the data, to the end of the text.
        """
        offset, _, key, _, topic, partition, value, names, values = record
        layouts = self.layouts
        layout = layouts.last if names is layouts.names else layouts.of(names)
        if layout is None or value is None or topic != layouts.topic:
            return None
        _, _, content_type, is_whole, choose, keyed, keyless = layout
        is_avro = self.form.is_stored_avro(None if content_type is None else values[content_type])
        try:
            chosen = choose(values if is_whole else (*values, *self._filled_in(record, is_avro)))
            # Keys in Avro are not plain either: they begin with a control character.
            if not are_plain((*chosen, key or b"")):
                return None
            data = orjson.dumps(self.decoded(value, _NOTHING)) if is_avro else checked(value)
        except (SchemaNeeded, CorruptRecord, NotDecoded, orjson.JSONDecodeError):
            return None
        head = keyed % (*chosen, partition, offset, key) if key else keyless % (*chosen, partition, offset)
        return b"".join((head, data, tail))

    def data_texts(self, values: Sequence[bytes], *, is_avro: bool) -> Sequence[bytes]:
        """The JSON text of each record's data.

        Args:
            values: the records' values, one at the least.
            is_avro: what they are, else JSON.

        Raises:
            SchemaNeeded: one has to be fetched first.
            CorruptRecord, NotDecoded, JSONDecodeError: one of them cannot be decoded.
        """
        if not is_avro:
            return all_checked(values)
        size = self._frame
        frames = [value[:size] for value in values]
        if not are_alike(frames):
            return [orjson.dumps(self.decoded(value, _NOTHING)) for value in values]
        decode = self._codec_of(frames[0], _NOTHING).decode
        return [orjson.dumps(decode(value, size)) for value in values]

    def event(self, record: Consumed) -> Event | None:
        """The event of a record, or None where a schema has to be fetched first: then :meth:`complete` gives it."""
        value = record.value
        if value is not None:
            try:
                event, is_avro = self.attributes(record, _NOTHING)
                event["data"] = self.decoded(value, _NOTHING) if is_avro else orjson.Fragment(checked(value))
            except SchemaNeeded:
                return None
            except (CorruptRecord, NotDecoded, orjson.JSONDecodeError):
                return self.open(record).event()
            event["datacontenttype"] = JSON
            return event
        return self.open(record).event()

    async def complete(self, record: Consumed) -> Event:
        """The event of a record, with its schemas fetched where need be.

        Raises:
            RegistryUnavailable, Overloaded, ShuttingDown: a schema cannot be fetched now.
        """
        opened = self.open(record)
        while True:
            try:
                return opened.event()
            except SchemaNeeded as needed:
                await opened.prepare(needed)

    def open(self, record: Consumed) -> "Opened":
        """A record for whoever looks at parts of it first, such as a filter."""
        return Opened(self, record)

    def attributes(self, record: Consumed, found: Found) -> tuple[Event, bool]:
        """All members but the data's, and whether the value is Avro; ``datacontenttype`` is that of the record.

        Args:
            record: the record.
            found: schemas that were fetched for it.

        Raises:
            SchemaNeeded: one has to be fetched first.
        """
        form = self.form
        offset, timestamp, key, _, topic, partition, value, _, _ = record
        event = stored_attributes(record.headers)
        is_avro = IS_AVRO.get(event["datacontenttype"], form.is_avro)
        if event["id"] is None:
            event["id"] = f"{topic}-{partition}-{offset}"
        if event["source"] is None:
            event["source"] = form.source
        if event["type"] is None:
            event["type"] = form.type or (self._name(value, found) if is_avro else None) or topic
        if event["time"] is None:
            if timestamp >= 0:
                event["time"] = self._rendered(timestamp)
            else:
                del event["time"]
        event["topic"] = topic
        event["partition"] = partition
        event["offset"] = offset
        if key:
            if form.has_avro_keys and key[0] == self._lead:
                self._put_avro_key(event, key, found)
            else:
                try:
                    event["partitionkey"] = key.decode()
                except UnicodeDecodeError:
                    event["partitionkeybase64"] = base64_text(key)
        return event, is_avro

    def decoded(self, value: bytes, found: Found) -> Any:
        """The data of an Avro record.

        Args:
            value: the record's value.
            found: schemas that were fetched for it.

        Raises:
            SchemaNeeded: one has to be fetched first.
            CorruptRecord, NotDecoded: it cannot be decoded.
        """
        return self._codec_of(value, found).decode(value, self._frame)

    async def fetched(self, schema_id: SchemaId) -> Codec | Undecodable:
        """The codec for a schema id, or why there is none.

        Raises:
            RegistryUnavailable, Overloaded, ShuttingDown: nobody can tell now.
        """
        try:
            return await self.form.codecs.load(schema_id)
        except SchemaMissing:
            return Undecodable("unknown_schema", f"The schema registry has no schema with id {schema_id}.")
        except SchemaUnusable:
            return Undecodable("unusable_schema", f"The schema with id {schema_id} cannot be used.")

    def _filled_in(self, record: Consumed, is_avro: bool) -> Values:
        """What :meth:`attributes` fills in: id, source, type and time, None for what there is not.

        Raises:
            SchemaNeeded: one has to be fetched first.
        """
        offset, timestamp, _, _, topic, partition, *_ = record
        named = self.form.type or (self._name(record.value, _NOTHING) if is_avro else None) or topic
        time = self._rendered(timestamp).encode() if timestamp >= 0 else None
        return f"{topic}-{partition}-{offset}".encode(), self.form.source.encode(), named.encode(), time

    def _name(self, value: bytes | None, found: Found) -> str | None:
        """Name of a value's schema, None where it has none."""
        try:
            return self._codec_of(value, found).name if value is not None else None
        except NotDecoded:
            return None

    def _put_avro_key(self, event: Event, key: bytes, found: Found) -> None:
        try:
            event["partitionkey"] = key_text(self._codec_of(key, found).decode(key, self._frame))
        except (NotDecoded, CorruptRecord):
            event["partitionkeybase64"] = base64_text(key)

    def _codec_of(self, framed: bytes, found: Found) -> Codec:
        frame = framed[: self._frame]
        recent = self._recent.get(frame)
        if recent is not None:
            return recent
        framing = self.form.framing
        schema_id = framing.schema_id(frame)
        if schema_id is None:
            reason = f"The record does not begin with a schema id in {framing.name}'s framing."
            raise NotDecoded(Undecodable("no_schema_id", reason))
        codec = found.get(schema_id) or self.form.codecs.ready(schema_id)
        if codec is None:
            raise SchemaNeeded(schema_id)
        if isinstance(codec, Undecodable):
            raise NotDecoded(codec)
        unpack = framing.unpack(frame)
        if unpack is not None:
            codec = Unpacking(codec, unpack)
        if len(self._recent) >= _MAX_RECENT:
            self._recent.clear()
        self._recent[frame] = codec
        return codec


class Opened:
    """A record whose attributes and data are read when they are needed, each once.

    Every method raises ``SchemaNeeded`` where a schema has to be fetched first; :meth:`prepare` does that.

    Args:
        outgoing: makes events of the topic.
        record: the record.
    """

    __slots__ = ("_attributes", "_data", "_found", "_is_avro", "_is_read", "_outgoing", "_why", "record")

    def __init__(self, outgoing: Outgoing, record: Consumed) -> None:
        self.record = record
        self._outgoing = outgoing
        self._found: Found = _NOTHING
        self._attributes: Event | None = None
        self._is_avro = False
        self._is_read = False
        self._data: Any = None
        self._why: Undecodable | None = None

    async def prepare(self, needed: SchemaNeeded) -> None:
        """Fetch the schema that was needed.

        Raises:
            RegistryUnavailable, Overloaded, ShuttingDown: nobody can tell now.
        """
        self._found = {**self._found, needed.schema_id: await self._outgoing.fetched(needed.schema_id)}

    def attributes(self) -> Event:
        """All members but the data's; shared, so not to be changed."""
        if self._attributes is None:
            self._attributes, self._is_avro = self._outgoing.attributes(self.record, self._found)
        return self._attributes

    def seen(self, *, with_data: bool) -> Event:
        """What a filter looks at: the attributes, ``key``, and the data where it asks for that and there is some.

        Args:
            with_data: whether the filter names ``data`` or anything inside.
        """
        seen = dict(self.attributes())
        key = seen.get("partitionkey")
        if key is not None:
            seen["key"] = key
        if with_data and self.record.value is not None:
            self._read(self.record.value)
            if self._why is None:
                seen["data"] = self._data
        return seen

    def matches(self, pattern: Pattern) -> bool:
        """Whether a pattern wants the event; its data is looked at only where the attributes leave that open."""
        decided = pattern.decide(self.seen(with_data=False))
        return pattern.matches(self.seen(with_data=True)) if decided is None else decided

    def event(self) -> Event:
        """The event as it goes out."""
        event = self.attributes().copy()
        value = self.record.value
        if value is None:
            del event["datacontenttype"]
            event["tombstone"] = True
            return event
        self._read(value)
        if self._why is not None:
            event["datacontenttype"] = event["datacontenttype"] or (AVRO if self._is_avro else _OCTETS)
            event["undecodable"], event["undecodablereason"] = self._why
            event["data_base64"] = base64_text(value)
            return event
        event["datacontenttype"] = JSON
        event["data"] = self._data if self._is_avro else orjson.Fragment(in_line(value))
        return event

    def _read(self, value: bytes) -> None:
        if self._is_read:
            return
        try:
            self.attributes()
            self._data = self._outgoing.decoded(value, self._found) if self._is_avro else orjson.loads(value)
        except orjson.JSONDecodeError:
            self._why = _NO_JSON
        except CorruptRecord as error:
            self._why = Undecodable(error.code, error.detail)
        except NotDecoded as error:
            self._why = error.why
        self._is_read = True
