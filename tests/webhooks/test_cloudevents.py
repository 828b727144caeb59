"""The events of a request, whichever way CloudEvents are sent over HTTP."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventbus_gateway.webhooks.cloudevents import MAX_DEPTH, NotUnderstood, events_of

STRUCTURED = [("content-type", "application/cloudevents+json; charset=utf-8")]
BATCH = [("Content-Type", "application/cloudevents-batch+json")]
EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "a.b"}
BINARY = [("Ce-Specversion", "1.0"), ("ce-id", "1"), ("CE-Source", "/s"), ("ce-type", "a.b")]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def binary(*headers: tuple[str, str], body: bytes = b"") -> Any:
    """What is found in binary mode: the one event beyond the required attributes, or why there is none."""
    found = events_of([*BINARY, *headers], body)
    if isinstance(found, NotUnderstood):
        return found
    (event,) = found
    assert {name: event.pop(name) for name in EVENT} == EVENT
    return event


def refused(headers: list[tuple[str, str]], body: bytes) -> NotUnderstood:
    found = events_of(headers, body)
    assert isinstance(found, NotUnderstood)
    return found


@given(JSON)
@settings(max_examples=50)
def test_the_three_modes_give_the_same_event(data: Any) -> None:
    event = {**EVENT, "datacontenttype": "application/json", "data": data}
    as_text = json.dumps(event).encode()
    assert events_of(STRUCTURED, as_text) == [event]
    assert events_of(BATCH, b"[" + as_text + b"," + as_text + b"]") == [event, event]
    assert events_of([*BINARY, ("content-type", "application/json")], json.dumps(data).encode()) == [event]


def test_integers_keep_all_their_digits() -> None:
    number = 2**200
    assert binary(("content-type", "application/json"), body=str(number).encode())["data"] == number


def test_an_empty_batch_has_no_events() -> None:
    assert events_of(BATCH, b"[]") == []


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=30))
@settings(max_examples=50)
def test_attributes_in_headers_are_percent_decoded(text: str) -> None:
    assert binary(("ce-subject", quote(text, safe="")))["subject"] == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%e2%82%ac", "€"),
        ('"a \\"quoted\\" %25 \\\\ text"', 'a "quoted" % \\ text'),
        ('"', '"'),
        ("a%2Bb+c", "a+b+c"),
        ("100%", "100%"),
    ],
)
def test_attributes_in_headers_follow_the_http_binding(value: str, text: str) -> None:
    assert binary(("ce-subject", value)) == {"subject": text}


@pytest.mark.parametrize("value", ["%C0%A0", "%FF", "\udcff"])
def test_attributes_that_are_not_utf_8_are_refused(value: str) -> None:
    assert binary(("ce-subject", value)) == NotUnderstood(
        True, "the header ce-subject is not UTF-8 in percent-encoding"
    )


def test_the_body_is_json_text_or_base64_as_its_media_type_and_bytes_say() -> None:
    for media in ("application/json; charset=utf-8", "application/fhir+json", "APPLICATION/JSON"):
        assert binary(("content-type", media), body=b'{"a": 1}') == {"datacontenttype": media, "data": {"a": 1}}
    xml = binary(("content-type", "text/xml"), body=b"<a/>")
    assert xml == {"datacontenttype": "text/xml", "data": "<a/>"}
    assert binary(("content-type", "image/png"), body=b"\xff\xfe") == {
        "datacontenttype": "image/png",
        "data_base64": "//4=",
    }
    assert binary(body=b"") == {}


def test_no_header_stands_for_the_data_or_its_type() -> None:
    assert binary(("ce-data", "x"), ("ce-datacontenttype", "y"), ("ce-strange_name", "z")) == {}


def test_an_attribute_that_is_sent_twice_is_refused() -> None:
    assert binary(("ce-subject", "x"), ("Ce-Subject", "x")).known_format


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
def test_an_event_without_a_required_attribute_is_named_by_what_is_missing(name: str) -> None:
    less = {key: value for key, value in EVENT.items() if key != name}
    for wrong in (less, {**EVENT, name: ""}, {**EVENT, name: 1}):
        for headers, body in ((STRUCTURED, json.dumps(wrong)), (BATCH, json.dumps([EVENT, wrong]))):
            assert refused(headers, body.encode()) == NotUnderstood(
                True, f"the attribute {name} is missing or no text"
            )
    headers = [(header, value) for header, value in BINARY if header.lower() != f"ce-{name}"]
    assert refused(headers, b"").reason == f"the attribute {name} is missing or no text"


def test_another_version_of_cloudevents_is_refused() -> None:
    assert refused(STRUCTURED, json.dumps({**EVENT, "specversion": "0.3"}).encode()).known_format


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"NaN",
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'"x"',
        b"[1]",
        b"9" * 5_000,
        b"\xef\xbb\xbf{}",
    ],
)
def test_a_body_that_is_no_event_is_refused_in_both_json_modes(body: bytes) -> None:
    for headers in (STRUCTURED, BATCH):
        assert refused(headers, body).known_format


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"NaN", b'{"a": -Infinity}', b'{"a": 1e999}', b"9" * 5_000, b"\xef\xbb\xbf{}"]
)
def test_data_that_says_it_is_json_and_is_not_is_refused(body: bytes) -> None:
    assert binary(("content-type", "application/json"), body=body) == NotUnderstood(
        True, "the body is not valid JSON in UTF-8"
    )


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    body = b"[" * depth + b"]" * depth
    assert binary(("content-type", "application/json"), body=body).known_format
    fits = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert "data" in binary(("content-type", "application/json"), body=fits)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("content-type", "application/json")],
        [("content-type", "application/cloudevents+avro")],
        [*BINARY, ("content-type", "application/cloudevents-batch+protobuf")],
    ],
)
def test_what_does_not_claim_to_be_an_event_in_a_known_format_is_told_apart(headers: list[tuple[str, str]]) -> None:
    assert not refused(headers, b"{}").known_format
