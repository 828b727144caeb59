"""The text that is filled in for an event is that of the event, byte for byte, whatever its record has."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eventbus_gateway.errors import CorruptRecord
from eventbus_gateway.kafka.consumed import Consumed, Headers, RecordHeaders
from eventbus_gateway.schema_ids import SchemaId
from eventbus_gateway.subscriptions.codecs import Codec
from eventbus_gateway.subscriptions.forms import Form
from eventbus_gateway.subscriptions.layouts import MAX_LAYOUTS, Layouts
from eventbus_gateway.subscriptions.outgoing import Outgoing

TAIL = b',"ackToken":"AAE"}'
GATEWAY: RecordHeaders = [
    ("content-type", b"application/json"),
    ("ce_specversion", b"1.0"),
    ("ce_source", b"/principals/clinic"),
    ("ce_type", b"visit.booked"),
    ("ce_time", b"2026-11-21T09:30:00.5Z"),
    ("ce_correlationid", b"request-1"),
    ("ce_tenant", b"7"),
    ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("ce_id", b"e-1"),
]


class JsonCodec:
    """Stands for a schema whose records are JSON behind the frame."""

    name = 'clinic."Visit"'

    def decode(self, data: bytes, start: int) -> Any:
        try:
            return json.loads(data[start:])
        except ValueError:
            raise CorruptRecord("The record does not decode with its schema.") from None


class Shelf:
    """The schema with the id 7 is at hand, all others would have to be fetched."""

    def ready(self, schema_id: SchemaId) -> Codec | None:
        return JsonCodec() if schema_id == 7 else None

    async def load(self, schema_id: SchemaId) -> Codec:
        raise AssertionError(schema_id)


def outgoing(**form: Any) -> Outgoing:
    options = {"is_avro": False, "has_avro_keys": False, "source": "/topics/visits", "type": None, **form}
    return Outgoing(Form("visits", codecs=Shelf(), **options))


def record(headers: RecordHeaders, value: bytes | None = b'{"a":1}', **others: Any) -> Consumed:
    fields = {"topic": "visits", "timestamp": 1_767_225_600_123, "key": b"k-1", **others}
    return Consumed.of(partition=3, offset=41, value=value, headers=Headers.of(headers), **fields)


def spelled(out: Outgoing, one: Consumed) -> bytes | None:
    """The text by way of an object, None where a schema has to be fetched."""
    event = out.event(one)
    return orjson.dumps(event)[:-1] + TAIL if event is not None else None


NAMES = st.sampled_from(
    [name for name, _ in GATEWAY]
    + ["ce_partitionkey", "ce_subject", "ce_dataschema", "tracestate", "ce_causationid", "ce_acktoken", "ce_ext"]
    + [
        "ce_topic",
        "ce_offset",
        "ce_datacontenttype",
        "ce_data",
        "ce_Upper",
        "ce_",
        "ce_a%b",
        'ce_"',
        "other",
        "",
        "é",
    ]
) | st.text(max_size=8)
VALUES = (
    st.sampled_from([b"", b"plain", b"application/avro", b"application/json", b'"', b"\\", b"\x00", b"\x1f", b"\x7f"])
    | st.sampled_from([b"%b%d%%", b"caf\xe9", "ü€😀".encode(), b"\xff", b"a\nb", None])
    | st.binary(max_size=6)
    | st.text(max_size=6).map(lambda text: text.encode(errors="replace"))
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=8) | st.lists(
    st.sampled_from(GATEWAY) | st.tuples(st.sampled_from([name for name, _ in GATEWAY]), VALUES), max_size=12
)
DATA = (
    st.sampled_from([None, b"", b'{"a":[1,2]}', b'{"a":\r\n1}', b"[1", b"1e999", b'"\xff"', b"null", b" 1 ", b"\x00"])
    | st.sampled_from([b"\0\0\0\0\7" + b'{"a":"%b\\n"}', b"\0\0\0\0\7" + b"{", b"\0\0\0\0\1{}", b"\0\0\0", b"%d"])
    | st.binary(max_size=10)
)
FORMS = st.fixed_dictionaries(
    {
        "is_avro": st.booleans(),
        "has_avro_keys": st.booleans(),
        "source": st.sampled_from(["/topics/visits", 'a"b', "ü", "%b"]),
        "type": st.sampled_from([None, "booked", "\\", "50 %"]),
    }
)
PLACES = st.fixed_dictionaries(
    {
        "topic": st.sampled_from(["visits", "visits", "other"]),
        "timestamp": st.sampled_from([0, -1, 1_767_225_600_123]),
        "key": st.sampled_from([None, b"", b"k-1", b'"', b"\xff", b"\0\0\0\0\7" + b'"k"', b"\0\0\0\0\1", b"%b"])
        | VALUES,
    }
)


@settings(max_examples=400)
@given(FORMS, st.lists(st.tuples(HEADERS, DATA, PLACES), min_size=1, max_size=4))
@example({}, [([], b"{}", {}), ([("other", None)], b"1", {}), ([("ce_id", b"7")], b"1", {})])
@example(
    {}, [([("ce_id", b"\x7f"), ("ce_source", b"\x1f")], b"{}", {}), ([("ce_id", b"\x7f")], b"{}", {"key": b"\x7f"})]
)
@example({}, [(GATEWAY, b'{"a":1}', {}), (GATEWAY[:-1], b"{}", {}), (GATEWAY, b"[]", {"key": None})])
def test_the_text_is_that_of_the_event_or_left_to_it(
    form: dict[str, Any], records: list[tuple[RecordHeaders, bytes | None, dict[str, Any]]]
) -> None:
    out = outgoing(**form)
    for headers, value, others in records:
        one = record(headers, value, **others)
        text = out.text(one, TAIL)
        assert text is None or text == spelled(out, one)
        assert text is None or out.layouts.id_of(one) == orjson.loads(text)["id"]


@pytest.mark.parametrize(
    ("headers", "others"),
    [
        (GATEWAY, {}),
        (GATEWAY, {"key": None}),
        (GATEWAY, {"key": b""}),
        (GATEWAY, {"value": b'{\r\n"a": 1}'}),
        (GATEWAY, {"timestamp": -1}),
        ([("content-type", b"application/avro"), *GATEWAY[1:]], {"value": b"\0\0\0\0\7" + b'{"a":"\\n"}'}),
        ([*GATEWAY, ("ce_subject", b"bed"), ("other", b"\xff"), ("ce_Upper", None)], {}),
        ([("ce_id", b"%b"), ("content-type", None), ("ce_specversion", b"\xff")], {}),
        ([("other", None)], {}),
        ([], {}),
    ],
)
def test_nearly_all_events_are_filled_in(headers: RecordHeaders, others: dict[str, Any]) -> None:
    out, one = outgoing(), record(headers, **others)
    assert out.text(one, TAIL) == spelled(out, one) is not None
    assert out.text(one, TAIL) == spelled(out, one)
    assert out.layouts.id_of(one) == orjson.loads(out.text(one, TAIL) or b"")["id"]


@pytest.mark.parametrize(
    ("headers", "others"),
    [
        ([("ce_id", b'"')], {}),
        ([("ce_id", b"\\")], {}),
        ([("ce_id", b"\x1f")], {}),
        ([("ce_id", "ü".encode())], {}),
        ([("ce_id", None)], {}),
        ([("ce_id", b"1"), ("ce_id", b"2")], {}),
        ([("ce_partitionkey", b"1")], {}),
        (GATEWAY, {"key": b'"'}),
        (GATEWAY, {"value": None}),
        (GATEWAY, {"value": b'{"a":'}),
        (GATEWAY, {"topic": "other"}),
        ([], {"timestamp": -1}),
    ],
)
def test_what_would_not_be_the_same_is_not_filled_in(headers: RecordHeaders, others: dict[str, Any]) -> None:
    assert outgoing().text(record(headers, **others), TAIL) is None


def test_as_many_layouts_are_kept_as_there_is_room_for() -> None:
    layouts = Layouts("visits")
    for number in range(3 * MAX_LAYOUTS):
        names = ("ce_id", f"ce_n{number}")
        layout = layouts.of(names)
        assert layout is not None
        assert layout is layouts.of(names) is layouts.last
        assert f'"n{number}":"%b"'.encode() in layout.keyed
        assert len(layouts) <= MAX_LAYOUTS


def test_names_that_are_long_together_get_no_layout() -> None:
    layouts = Layouts("visits")
    assert layouts.of(("ce_id", "n" * 5_000)) is None
    assert len(layouts) == 0
