"""Events that are made together are those that are made one after the other."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.subscriptions.test_layouts import DATA, FORMS, GATEWAY, HEADERS, PLACES, outgoing, record

from eventbus_gateway.kafka.consumed import Consumed, RecordHeaders
from eventbus_gateway.subscriptions.outgoing import Outgoing
from eventbus_gateway.subscriptions.splicing import all_checked, checked
from eventbus_gateway.subscriptions.together import filled_in, texts

MANY = 6
TAIL = b',"n":%d,"ackToken":"%b"}'
Drawn = tuple[RecordHeaders, bytes | None, dict[str, Any]]


class Together(Outgoing):
    """Makes no event by itself."""

    def text(self, record: Consumed, tail: bytes) -> bytes | None:
        raise AssertionError(record.offset)


def together() -> Together:
    return Together(outgoing().form)


def columns(records: Sequence[Consumed]) -> tuple[list[int], list[bytes]]:
    return list(range(len(records))), [b"%b%d" % (b"token", number) for number in range(len(records))]


@settings(max_examples=300)
@given(FORMS, st.lists(st.tuples(HEADERS, DATA, PLACES), min_size=1, max_size=4), st.data())
@example({}, [(GATEWAY, b'{"a":1}', {}), (GATEWAY, b'{"a":\n1}', {}), (GATEWAY, b"1", {"key": None})], None)
@example({}, [(GATEWAY, b'{"a":1}', {}), (GATEWAY, b'{"a":', {}), (GATEWAY, b"1", {})], None)
@example({}, [(GATEWAY, b"1", {}), (GATEWAY[:-1], b"2", {}), (GATEWAY, b"3", {}), (GATEWAY, b"4", {})], None)
@example({"is_avro": True}, [(GATEWAY[1:], b'\0\0\0\0\7"a"', {}), (GATEWAY[1:], b"\0\0\0\0\1", {})], None)
def test_each_text_is_the_one_that_is_made_alone(form: dict[str, Any], kinds: list[Drawn], data: Any) -> None:
    drawn = kinds * MANY if data is None else data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=16))
    records = [record(headers, value, **others) for headers, value, others in drawn]
    out = outgoing(**form)
    alone = [out.text(one, TAIL % row) for one, row in zip(records, zip(*columns(records), strict=True), strict=True)]
    assert list(texts(lambda _: outgoing(**form), records, TAIL, columns(records))) == alone


PIECES = st.lists(st.tuples(st.sampled_from(["%b", "%d"]), st.text("a{:,", max_size=3)), min_size=1, max_size=5)


@given(PIECES, st.integers(2, 6), st.data())
def test_a_text_is_filled_in_for_each_row_as_for_one(pieces: list[tuple[str, str]], rows: int, data: Any) -> None:
    text = "".join(place + literal for place, literal in [*pieces, ("%d", "")]).encode()
    values = {"%b": st.sampled_from([b"%", b"%%b", b"a", b"%d"]), "%d": st.integers(0, 2)}
    sizes = st.sampled_from([1, rows])
    drawn = [
        data.draw(st.lists(values[at], min_size=size, max_size=size))
        for at, _ in pieces
        if (size := data.draw(sizes))
    ]
    whole = [column * (rows // len(column)) for column in drawn]
    expected = [text % (*row, number) for number, row in enumerate(zip(*whole, strict=True))]
    assert filled_in(text, [*drawn, range(rows)]) == expected


@pytest.mark.parametrize("others", [{}, {"key": None}, {"value": b"\0\0\0\0\7[]"}, {"value": b"[\n1]"}])
def test_events_with_the_same_headers_are_made_together(others: dict[str, Any]) -> None:
    is_avro = others.get("value", b"").startswith(b"\0")
    headers: RecordHeaders = [("content-type", b"application/avro" if is_avro else b"application/json"), *GATEWAY[1:]]
    found = texts(lambda _: together(), [record(headers, **others)] * MANY, TAIL, columns([record(headers)] * MANY))
    assert [orjson.loads(one or b"")["n"] for one in found] == list(range(MANY))


def test_events_with_other_headers_between_them_are_made_together_with_those_next_to_them() -> None:
    headers = [GATEWAY] * MANY + [[*GATEWAY, ("ce_subject", b"bed")]] * MANY + [GATEWAY] * MANY
    records, out = [record(one) for one in headers], together()
    found = texts(lambda _: out, records, TAIL, columns(records))
    assert [orjson.loads(one or b"").get("subject") for one in found] == [None] * MANY + ["bed"] * MANY + [
        None
    ] * MANY


def test_events_of_several_topics_are_made_by_what_each_topic_has() -> None:
    records = [record(GATEWAY)] * MANY + [record(GATEWAY, topic="beds")] * MANY
    by_topic = {"visits": together(), "beds": Together(together().form._replace(topic="beds"))}
    found = texts(by_topic.__getitem__, records, b"}")
    assert [orjson.loads(one or b"")["topic"] for one in found] == ["visits"] * MANY + ["beds"] * MANY


@given(st.lists(DATA.filter(lambda text: text is not None), min_size=1, max_size=5))
def test_json_texts_are_checked_together_as_each_of_them_is(data: list[bytes]) -> None:
    try:
        each: list[bytes] | None = [checked(text) for text in data]
    except orjson.JSONDecodeError:
        each = None
    try:
        assert list(all_checked(data)) == each
    except orjson.JSONDecodeError:
        assert each is None
