"""Records become CloudEvents: attributes, data, places, and what cannot be decoded."""

import asyncio
import base64
import json
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

import orjson
import pytest

from eventbus_gateway.errors import CorruptRecord, RegistryUnavailable, SchemaMissing, SchemaUnusable
from eventbus_gateway.kafka.consumed import Consumed, Headers, RecordHeaders
from eventbus_gateway.schema_ids import GlueFraming, SchemaId
from eventbus_gateway.subscriptions.forms import Form, SchemaNeeded
from eventbus_gateway.subscriptions.outgoing import Event, Outgoing

TIMESTAMP = 1_767_225_600_123
TIME = "2026-01-01T00:00:00.123Z"
GATEWAY: RecordHeaders = [
    ("content-type", b"application/avro"),
    ("ce_specversion", b"1.0"),
    ("ce_source", b"/principals/clinic"),
    ("ce_type", b"visit.booked"),
    ("ce_time", b"2026-11-21T09:30:00.5Z"),
    ("ce_correlationid", b"request-1"),
    ("ce_subject", "späß".encode()),
    ("ce_tenant", b"7"),
    ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("ce_id", b"e-1"),
]


class JsonCodec:
    """Stands for a schema whose records are JSON behind the frame."""

    def __init__(self, name: str) -> None:
        self.name = name

    def decode(self, data: bytes, start: int) -> Any:
        try:
            return json.loads(data[start:])
        except ValueError:
            raise CorruptRecord("The record does not decode with its schema.") from None


class Shelf:
    """Schemas by id; those that were loaded are at hand from then on."""

    def __init__(self, **codecs: JsonCodec | Exception) -> None:
        self.known: dict[SchemaId, JsonCodec | Exception] = {int(name[1:]): codec for name, codec in codecs.items()}
        self.at_hand: set[SchemaId] = set()
        self.loads: list[SchemaId] = []

    def ready(self, schema_id: SchemaId) -> JsonCodec | None:
        found = self.known.get(schema_id)
        return found if schema_id in self.at_hand and isinstance(found, JsonCodec) else None

    async def load(self, schema_id: SchemaId) -> JsonCodec:
        self.loads.append(schema_id)
        found = self.known.get(schema_id, SchemaMissing())
        if isinstance(found, Exception):
            raise found
        self.at_hand.add(schema_id)
        return found


def framed(schema_id: int, data: object) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big") + json.dumps(data).encode()


def outgoing(shelf: Shelf | None = None, **form: Any) -> Outgoing:
    options = {"is_avro": True, "has_avro_keys": False, "source": "/topics/visits", "type": None, **form}
    return Outgoing(Form("visits", codecs=shelf or Shelf(s7=JsonCodec("clinic.Visit")), **options))


def record(
    value: bytes | None, headers: RecordHeaders | None = None, key: bytes | None = b"k-1", timestamp: int = TIMESTAMP
) -> Consumed:
    return Consumed.of("visits", 3, 41, timestamp, key, value, Headers.of(headers or []))


def told(out: Outgoing, one: Consumed) -> Event:
    """The event as a reader parses it."""
    event: Event = orjson.loads(orjson.dumps(run(out.complete(one))))
    return event


def run(work: "Coroutine[Any, Any, Event]") -> Event:
    return asyncio.run(work)


def test_attributes_come_from_the_headers_beside_the_place_and_the_key() -> None:
    event = told(outgoing(), record(framed(7, {"a": 1}), GATEWAY))
    assert event == {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/principals/clinic",
        "type": "visit.booked",
        "time": "2026-11-21T09:30:00.5Z",
        "subject": "späß",
        "tenant": "7",
        "correlationid": "request-1",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "datacontenttype": "application/json",
        "topic": "visits",
        "partition": 3,
        "offset": 41,
        "partitionkey": "k-1",
        "data": {"a": 1},
    }


def test_a_record_without_headers_gets_the_same_attributes_at_every_reading() -> None:
    events = [told(outgoing(), record(framed(7, {"a": 1}))) for _ in range(2)]
    assert events[0] == events[1]
    assert events[0] == {
        "specversion": "1.0",
        "id": "visits-3-41",
        "source": "/topics/visits",
        "type": "clinic.Visit",
        "time": TIME,
        "datacontenttype": "application/json",
        "topic": "visits",
        "partition": 3,
        "offset": 41,
        "partitionkey": "k-1",
        "data": {"a": 1},
    }


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        ({"type": "configured"}, framed(7, 1), "configured"),
        ({"type": None}, framed(7, 1), "clinic.Visit"),
        ({"type": None}, framed(9, 1), "visits"),
        ({"type": None}, b"unframed", "visits"),
        ({"type": None}, None, "visits"),
        ({"type": None, "is_avro": False}, b"1", "visits"),
    ],
)
def test_a_missing_type_is_that_of_the_settings_then_the_schema_then_the_topic(
    form: dict[str, Any], value: bytes | None, expected: str
) -> None:
    assert told(outgoing(**form), record(value))["type"] == expected


def test_a_record_without_a_timestamp_has_no_time() -> None:
    assert "time" not in told(outgoing(), record(framed(7, 1), timestamp=-1))


def test_headers_that_are_no_attributes_are_left_out() -> None:
    headers: RecordHeaders = [
        ("ce_topic", b"other"),
        ("ce_partition", b"9"),
        ("ce_offset", b"9"),
        ("ce_data", b"x"),
        ("ce_undecodable", b"x"),
        ("ce_tombstone", b"true"),
        ("ce_Upper", b"x"),
        ("ce_under_score", b"x"),
        ("ce_", b"x"),
        ("ce_" + "n" * 65, b"x"),
        ("other", b"x"),
        ("ce_kept", b"x"),
    ]
    event = told(outgoing(), record(framed(7, 1), headers))
    plain = told(outgoing(), record(framed(7, 1)))
    assert event == plain | {"kept": "x"}


def test_a_header_that_came_twice_counts_with_its_last_value() -> None:
    headers: RecordHeaders = [("ce_id", b"first"), ("ce_id", b"last"), ("ce_ext", b"1"), ("ce_ext", b"2")]
    event = told(outgoing(), record(framed(7, 1), headers))
    assert (event["id"], event["ext"]) == ("last", "2")


def test_headers_without_a_value_or_with_broken_utf_8_break_nothing_else() -> None:
    headers: RecordHeaders = [
        ("ce_id", None),
        ("ce_subject", b"caf\xe9"),
        ("ce_ext", b"\xff"),
        ("ce_none", None),
        ("ce_type", b"t"),
    ]
    event = told(outgoing(), record(framed(7, {"a": 1}), headers))
    assert event["id"] == "visits-3-41"
    assert (event["subject"], event["ext"], event["type"]) == ("caf\ufffd", "\ufffd", "t")
    assert "none" not in event
    assert event["data"] == {"a": 1}


def test_the_version_of_the_specification_is_the_one_that_is_given() -> None:
    assert told(outgoing(), record(framed(7, 1), [("ce_specversion", b"0.3")]))["specversion"] == "1.0"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"k", {"partitionkey": "k"}),
        ("ü".encode(), {"partitionkey": "ü"}),
        (None, {}),
        (b"", {}),
        (b"\xff\x00", {"partitionkeybase64": "/wA="}),
    ],
)
def test_a_text_key_is_the_partition_key_and_another_one_is_given_as_base64(
    key: bytes | None, expected: dict[str, str]
) -> None:
    event = told(outgoing(), record(framed(7, 1), key=key))
    assert {name: value for name, value in event.items() if "key" in name} == expected


def test_without_a_key_the_partition_key_is_the_one_in_the_headers() -> None:
    headers: RecordHeaders = [("ce_partitionkey", b"told")]
    assert told(outgoing(), record(framed(7, 1), headers, key=None))["partitionkey"] == "told"
    assert told(outgoing(), record(framed(7, 1), headers, key=b"real"))["partitionkey"] == "real"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (framed(8, "text"), {"partitionkey": "text"}),
        (framed(8, 12), {"partitionkey": "12"}),
        (framed(8, {"tenant": "a", "n": 1}), {"partitionkey": '{"tenant":"a","n":1}'}),
        (b"plain", {"partitionkey": "plain"}),
        (framed(9, 1), {"partitionkeybase64": base64.b64encode(framed(9, 1)).decode()}),
        (b"\0\0\0\0\x08{", {"partitionkeybase64": "AAAAAAh7"}),
    ],
)
def test_avro_keys_are_decoded_where_the_topic_has_them(key: bytes, expected: dict[str, str]) -> None:
    shelf = Shelf(s7=JsonCodec("clinic.Visit"), s8=JsonCodec("clinic.Key"))
    event = told(outgoing(shelf, has_avro_keys=True), record(framed(7, {"a": 1}), key=key))
    assert {name: value for name, value in event.items() if "key" in name} == expected
    assert event["data"] == {"a": 1}


# JSON


@pytest.mark.parametrize(
    ("text", "spliced"),
    [
        (b'{"a":123456789012345678901234567890}', b'{"a":123456789012345678901234567890}'),
        (b'{"b": 1.10, "a": "\\u00e4", "b": 2}', b'{"b": 1.10, "a": "\\u00e4", "b": 2}'),
        (b' {\n  "a": "x\\ny"\r\n}\n', b' {   "a": "x\\ny"  } '),
        (b"null", b"null"),
    ],
)
def test_json_is_given_as_it_was_stored_but_for_line_breaks(text: bytes, spliced: bytes) -> None:
    event = run(outgoing(is_avro=False).complete(record(text)))
    rendered = orjson.dumps(event)
    assert rendered.endswith(b'"data":' + spliced + b"}")
    assert orjson.loads(rendered)["data"] == orjson.loads(text)
    assert b"\n" not in rendered


@pytest.mark.parametrize(
    "broken", [b"", b"{", b"\xff", b"NaN", b'"\xed\xa0\x80"', b"{} x", b"\0\0\0\0\x07{}"], ids=repr
)
def test_what_is_no_json_is_delivered_as_it_is(broken: bytes) -> None:
    event = told(outgoing(is_avro=False), record(broken))
    assert event["undecodable"] == "invalid_json"
    assert event["undecodablereason"]
    assert base64.b64decode(event["data_base64"]) == broken
    assert "data" not in event
    assert event["datacontenttype"] == "application/octet-stream"


def test_the_content_type_of_a_record_counts_more_than_the_format_of_the_topic() -> None:
    avro: RecordHeaders = [("content-type", b"application/avro")]
    text: RecordHeaders = [("content-type", b"application/json")]
    assert told(outgoing(is_avro=False), record(framed(7, 1), avro))["data"] == 1
    assert told(outgoing(is_avro=True), record(b"2", text))["data"] == 2
    other: RecordHeaders = [("content-type", b"text/plain")]
    assert told(outgoing(is_avro=False), record(b"3", other))["data"] == 3


# What cannot be decoded


def test_a_tombstone_has_no_data_and_says_so() -> None:
    event = told(outgoing(), record(None, GATEWAY))
    assert event["tombstone"] is True
    assert event["partitionkey"] == "k-1"
    assert not event.keys() & {"data", "data_base64", "datacontenttype", "undecodable"}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"", "no_schema_id"),
        (b"\0\0\0\0", "no_schema_id"),
        (b"\x03\x00glue", "no_schema_id"),
        (b'{"a":1}', "no_schema_id"),
        (framed(9, 1), "unknown_schema"),
        (framed(5, 1), "unusable_schema"),
        (b"\0\0\0\0\x07{", "corrupt_record"),
    ],
)
def test_a_record_that_cannot_be_decoded_is_delivered_as_it_is_with_the_reason(value: bytes, code: str) -> None:
    shelf = Shelf(s7=JsonCodec("clinic.Visit"), s5=SchemaUnusable())
    event = told(outgoing(shelf), record(value))
    assert event["undecodable"] == code
    assert event["undecodablereason"].endswith(".")
    assert base64.b64decode(event["data_base64"]) == value
    assert "data" not in event
    assert (event["id"], event["partitionkey"], event["datacontenttype"]) == (
        "visits-3-41",
        "k-1",
        "application/avro",
    )


def test_a_record_that_cannot_be_decoded_keeps_its_attributes() -> None:
    event = told(outgoing(), record(b"\0\0\0\0\x07{", GATEWAY))
    assert (event["id"], event["type"], event["tenant"]) == ("e-1", "visit.booked", "7")


def test_a_registry_that_does_not_answer_makes_nothing_undecodable() -> None:
    shelf = Shelf(s7=RegistryUnavailable())
    out = outgoing(shelf)
    with pytest.raises(RegistryUnavailable):
        run(out.complete(record(framed(7, 1))))
    shelf.known[7] = JsonCodec("clinic.Visit")
    assert told(out, record(framed(7, 1)))["data"] == 1


def test_a_registry_that_does_not_answer_for_a_key_makes_it_not_opaque() -> None:
    out = outgoing(Shelf(s7=JsonCodec("clinic.Visit"), s8=RegistryUnavailable()), has_avro_keys=True)
    with pytest.raises(RegistryUnavailable):
        run(out.complete(record(framed(7, 1), key=framed(8, "k"))))


# Schemas at hand and those that are not


def test_a_schema_is_fetched_once_and_events_are_made_at_once_from_then_on() -> None:
    shelf = Shelf(s7=JsonCodec("clinic.Visit"))
    out = outgoing(shelf)
    assert out.event(record(framed(7, 1))) is None
    assert told(out, record(framed(7, 1)))["data"] == 1
    event = out.event(record(framed(7, 2)))
    assert event is not None
    assert event["data"] == 2
    assert shelf.loads == [7]


def test_a_schema_that_is_forgotten_at_once_is_used_all_the_same() -> None:
    class Forgetful(Shelf):
        def ready(self, schema_id: SchemaId) -> JsonCodec | None:
            return None

    shelf = Forgetful(s7=JsonCodec("clinic.Visit"), s8=JsonCodec("clinic.Key"))
    event = told(outgoing(shelf, has_avro_keys=True), record(framed(7, 1), key=framed(8, "k")))
    assert (event["data"], event["partitionkey"]) == (1, "k")
    assert set(shelf.loads) == {7, 8}


def test_many_schemas_in_one_topic_are_each_decoded_with_their_own() -> None:
    codecs = {f"s{number}": JsonCodec(f"V{number}") for number in range(40)}
    shelf = Shelf(**codecs)
    out = outgoing(shelf)
    for _ in range(2):
        for number in range(40):
            event = told(out, record(framed(number, number)))
            assert (event["type"], event["data"]) == (f"V{number}", number)
    assert len(shelf.loads) == 40


# What filters look at


def test_a_filter_sees_attributes_without_any_decoding() -> None:
    out = outgoing(Shelf())
    seen = out.open(record(framed(7, {"a": 1}), GATEWAY)).seen(with_data=False)
    assert seen["type"] == "visit.booked"
    assert seen["key"] == seen["partitionkey"] == "k-1"
    assert (seen["topic"], seen["partition"], seen["offset"]) == ("visits", 3, 41)
    assert "data" not in seen


def test_a_filter_sees_data_when_it_asks_for_it_and_the_event_is_still_whole() -> None:
    shelf = Shelf(s7=JsonCodec("clinic.Visit"))
    opened = outgoing(shelf).open(record(framed(7, {"a": 1}), GATEWAY))
    with pytest.raises(SchemaNeeded) as needed:
        opened.seen(with_data=True)
    asyncio.run(opened.prepare(needed.value))
    assert opened.seen(with_data=True)["data"] == {"a": 1}
    event = opened.event()
    assert event["data"] == {"a": 1}
    assert "key" not in event
    assert event["datacontenttype"] == "application/json"
    assert "data" not in opened.seen(with_data=False)


def test_a_filter_sees_no_data_where_there_is_none_that_can_be_decoded() -> None:
    out = outgoing()
    for value in (None, b"unframed"):
        assert "data" not in out.open(record(value)).seen(with_data=True)


def test_the_text_of_json_survives_being_looked_at() -> None:
    opened = outgoing(is_avro=False).open(record(b'{"a": 1.10}'))
    assert opened.seen(with_data=True)["data"] == {"a": 1.1}
    assert orjson.dumps(opened.event()).endswith(b'"data":{"a": 1.10}}')


# Records in Glue's framing

VERSION = UUID("b7912285-527d-42de-88ee-e389a763225f")
GLUE = GlueFraming(compresses=True, max_bytes=10_000)


class GlueShelf(Shelf):
    def __init__(self) -> None:
        super().__init__()
        self.known = {VERSION: JsonCodec("clinic.Visit")}


def in_glue(data: object, *, compressed: bool) -> bytes:
    plain = GLUE.prefix(VERSION) + json.dumps(data).encode()
    assert GLUE.pack is not None
    return GLUE.pack(plain) if compressed else plain


@pytest.mark.parametrize("compressed", [False, True])
def test_values_and_keys_in_glues_framing_are_decoded_compressed_or_not(compressed: bool) -> None:
    shelf = GlueShelf()
    out = outgoing(shelf, has_avro_keys=True, framing=GLUE)
    told_of = record(in_glue({"a": 1}, compressed=compressed), key=in_glue("k", compressed=compressed))
    event = told(out, told_of)
    assert (event["type"], event["data"], event["partitionkey"]) == ("clinic.Visit", {"a": 1}, "k")
    again = out.event(told_of)
    assert again is not None
    assert again["data"] == {"a": 1}
    assert shelf.loads == [VERSION]


def test_compressed_and_other_records_of_one_schema_can_follow_each_other() -> None:
    out = outgoing(GlueShelf(), framing=GLUE)
    for number in range(4):
        assert told(out, record(in_glue(number, compressed=bool(number % 2))))["data"] == number


def test_a_bomb_is_undecodable() -> None:
    event = told(outgoing(GlueShelf(), framing=GLUE), record(in_glue("x" * 10_001, compressed=True)))
    assert event["undecodable"] == "corrupt_record"
    assert "more than 10000 bytes" in event["undecodablereason"]


@pytest.mark.parametrize("value", [framed(7, 1), b"", GLUE.prefix(VERSION)[:17], b"\x03\x01" + VERSION.bytes])
def test_a_record_without_glues_frame_names_no_schema(value: bytes) -> None:
    event = told(outgoing(GlueShelf(), framing=GLUE), record(value))
    assert event["undecodable"] == "no_schema_id"
    assert "AWS Glue's framing" in event["undecodablereason"]
