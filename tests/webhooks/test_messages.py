"""Events as requests, and requests as events again (CloudEvents 1.0.2 HTTP binding, section 3)."""

import string
from typing import Any
from urllib.parse import unquote

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventbus_gateway.webhooks.cloudevents import events_of
from eventbus_gateway.webhooks.messages import Message, batch, binary, structured

LEAST = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
NAMES = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=20).filter(
    lambda name: name not in {"data", "datacontenttype", *LEAST}
)
NUMBERS = st.integers(-(2**31), 2**31 - 1) | st.booleans()
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | TEXTS
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    required = {name: draw(TEXTS) for name in ("id", "source", "type")}
    extensions = draw(st.dictionaries(NAMES, TEXTS | NUMBERS, max_size=5))
    content = {"datacontenttype": "application/json", "data": draw(VALUES)}
    return {"specversion": "1.0", **required, **extensions, **content}


def read(message: Message) -> Any:
    return events_of(message.headers.items(), message.body)


def as_texts(event: dict[str, Any]) -> dict[str, Any]:
    """Attributes as a header has them: what is no text comes as one (section 3.1.2 of the types)."""
    return {name: value if name == "data" else _text(value) for name, value in event.items()}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@settings(max_examples=200, deadline=None)
@given(event=events())
def test_a_binary_message_is_read_as_the_event_that_it_was_made_of(event: dict[str, Any]) -> None:
    assert read(binary(event, orjson.dumps(event["data"]))) == [as_texts(event)]


@settings(max_examples=100, deadline=None)
@given(several=st.lists(events(), max_size=4))
def test_structured_messages_and_batches_are_read_as_the_events_that_they_were_made_of(
    several: list[dict[str, Any]],
) -> None:
    assert read(batch([orjson.dumps(event) for event in several])) == several
    for event in several:
        assert read(structured(orjson.dumps(event))) == [event]


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_a_header_has_visible_ascii_only_and_says_the_same(text: str) -> None:
    header = binary({**LEAST, "subject": text, "data": 1}, b"1").headers["ce-subject"]
    assert all("!" <= character <= "~" and character != '"' for character in header)
    assert unquote(header, errors="strict") == text


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("plain/text?x=1&y='~'", "plain/text?x=1&y='~'"),
        ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),  # the example of section 3.1.3.2
        ('"quoted" 100%', "%22quoted%22%20100%25"),
        ("line\r\nwebhook-id: 1", "line%0D%0Awebhook-id:%201"),
        ("\x7f\t", "%7F%09"),
    ],
)
def test_what_a_header_cannot_have_is_percent_encoded(text: str, header: str) -> None:
    assert binary({**LEAST, "subject": text, "data": 1}, b"1").headers["ce-subject"] == header


def test_the_data_of_a_binary_message_is_its_body_and_no_header() -> None:
    event = {**LEAST, "datacontenttype": "application/json", "data": orjson.Fragment(b'{"a": 1}')}
    message = binary(event, b"ignored")
    assert (message.headers["content-type"], message.body) == ("application/json", b'{"a": 1}')
    assert not {"ce-data", "ce-datacontenttype"} & message.headers.keys()
    assert set(event) == {*LEAST, "datacontenttype", "data"}


def test_a_tombstone_has_no_content_and_says_what_it_is() -> None:
    message = binary({**LEAST, "tombstone": True}, None)
    assert (message.body, message.headers.get("content-type"), message.headers["ce-tombstone"]) == (b"", None, "true")
    assert read(message) == [{**LEAST, "tombstone": "true"}]


@pytest.mark.parametrize(
    ("content_type", "sent"),
    [
        ("application/avro", "application/avro"),
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        (None, "application/octet-stream"),
        ("text/plain\r\nhost: elsewhere", "application/octet-stream"),
        ("text/plän", "application/octet-stream"),
        ("text/plain; ", "application/octet-stream"),
        ("application/cloudevents+json", "application/octet-stream"),
        ("text", "application/octet-stream"),
    ],
)
def test_a_record_that_cannot_be_decoded_is_sent_as_it_is(content_type: str | None, sent: str) -> None:
    event = {**LEAST, "undecodable": "no_schema_id", "data_base64": "AP8=", "datacontenttype": content_type}
    message = binary(event, b"\x00\xff")
    assert (message.headers["content-type"], message.body) == (sent, b"\x00\xff")
    assert "ce-data_base64" not in message.headers
    assert read(message)[0]["data_base64"] == "AP8="


def test_what_it_carries_is_not_shown() -> None:
    assert "secret" not in repr(structured(orjson.dumps({**LEAST, "data": "secret"})))
