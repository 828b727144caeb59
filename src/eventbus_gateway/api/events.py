"""From the body of a publish to one draft per event."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from eventbus_gateway.api.attributes import Attributes, from_envelope
from eventbus_gateway.api.settings import PublishSettings
from eventbus_gateway.errors import (
    BatchTooLarge,
    BodyTooLarge,
    EmptyBatch,
    Fault,
    InvalidAttribute,
    InvalidJson,
)

# Below this size even the worst document is small in memory, and counting would cost more than it saves.
_UNCOUNTED_BYTES = 65_536
_MEMBERS = json.JSONDecoder()


class Draft(NamedTuple):
    """One event of a request before its data met a schema.

    Args:
        data: parsed JSON.
        raw: the JSON text as it came, where it was asked for.
        attributes: the event's own CloudEvents attributes, None where the request's apply.
        faults: why it cannot be an event; pointers count from the event's own place.
    """

    data: Any
    raw: bytes
    attributes: Attributes | None = None
    faults: tuple[Fault, ...] = ()


def one_event(body: bytes, settings: PublishSettings) -> Draft:
    """The draft of ``application/json``: the body is the data.

    Raises:
        InvalidJson: not one JSON document.
        BodyTooLarge: too many values.
    """
    return Draft(_parsed(body, settings), body)


def one_cloudevent(body: bytes, settings: PublishSettings, keep_raw: bool) -> Draft:
    """The draft of ``application/cloudevents+json``.

    Raises:
        InvalidJson: not one JSON object.
        InvalidAttribute: attributes are missing or wrong.
        BodyTooLarge: too many values.
    """
    envelope = _parsed(body, settings)
    if not isinstance(envelope, dict):
        raise InvalidJson("A structured CloudEvent is a JSON object.")
    attributes = from_envelope(envelope, settings.max_attributes, settings.max_attribute_bytes)
    raw = _raw_data(body.decode(), 0)[0] if keep_raw else b""
    return Draft(envelope["data"], raw, attributes)


def cloudevents(body: bytes, settings: PublishSettings, keep_raw: bool) -> Iterator[Draft]:
    """The drafts of ``application/cloudevents-batch+json``, in order.

    Raises:
        InvalidJson: not one JSON array.
        EmptyBatch: nothing in it.
        BatchTooLarge: too many events.
        BodyTooLarge: too many values.
    """
    envelopes = _parsed(body, settings)
    if not isinstance(envelopes, list):
        raise InvalidJson("A batch of CloudEvents is a JSON array.")
    _check_count(len(envelopes), settings)
    raws = _raw_data_of_each(body.decode()) if keep_raw else None
    for envelope in envelopes:
        raw = next(raws) if raws is not None else b""
        if not isinstance(envelope, dict):
            yield Draft(None, raw, faults=(Fault("", "expected a JSON object"),))
            continue
        try:
            attributes = from_envelope(envelope, settings.max_attributes, settings.max_attribute_bytes)
        except InvalidAttribute as error:
            yield Draft(None, raw, faults=error.faults)
        else:
            yield Draft(envelope["data"], raw, attributes)


def lines(body: bytes, settings: PublishSettings) -> Iterator[Draft]:
    """The drafts of ``application/x-ndjson``: one event's data per line; blank lines do not count.

    Raises:
        EmptyBatch: nothing in it.
        BatchTooLarge: too many events.
    """
    found = [line for line in body.split(b"\n") if line and not line.isspace()]
    _check_count(len(found), settings)
    loads = orjson.loads
    for line in found:
        if len(line) > settings.max_event_bytes:
            yield Draft(None, line, faults=(Fault("", f"one event may have {settings.max_event_bytes} bytes"),))
            continue
        try:
            _check_values(line, settings)
            data = loads(line)
        except orjson.JSONDecodeError:
            yield Draft(None, line, faults=(Fault("", "expected one JSON value on the line"),))
        except BodyTooLarge as error:
            yield Draft(None, line, faults=(Fault("", error.detail),))
        else:
            yield Draft(data, line)


def _parsed(body: bytes, settings: PublishSettings) -> Any:
    _check_values(body, settings)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # orjson's own sentence can quote the text around the fault.
        raise InvalidJson(f"The body is not JSON, see line {error.lineno}, column {error.colno}.") from None


def _check_values(text: bytes, settings: PublishSettings) -> None:
    """Refuse documents such as five megabytes of ``{}``, which need thirty times their size as objects."""
    if len(text) > _UNCOUNTED_BYTES:
        values = text.count(b",") + text.count(b"[") + text.count(b"{")
        if values > settings.max_json_values:
            raise BodyTooLarge(f"A JSON document may have about {settings.max_json_values} values.")


def _check_count(count: int, settings: PublishSettings) -> None:
    if count == 0:
        raise EmptyBatch("A batch has at least one event.")
    if count > settings.max_batch_events:
        raise BatchTooLarge(f"A batch may have {settings.max_batch_events} events.")


# What follows finds the text of ``data`` inside an envelope. Rendering parsed data again would change it: integers
# beyond 64 bits become floats. The text has passed orjson, so only its structure matters here.


def _raw_data_of_each(text: str) -> Iterator[bytes]:
    at = _skip_space(text, text.index("[") + 1)
    while text[at] != "]":
        if text[at] == "{":
            raw, at = _raw_data(text, at)
        else:
            raw, at = b"", _value_end(text, at)
        yield raw
        at = _skip_space(text, at)
        if text[at] == ",":
            at = _skip_space(text, at + 1)


def _raw_data(text: str, at: int) -> tuple[bytes, int]:
    """The last ``data`` member's text of the object at a place, and the place behind the object."""
    raw = b""
    at = _skip_space(text, text.index("{", at) + 1)
    while text[at] != "}":
        name, at = _MEMBERS.raw_decode(text, at)
        at = _skip_space(text, _skip_space(text, at) + 1)
        end = _value_end(text, at)
        if name == "data":
            raw = text[at:end].encode()
        at = _skip_space(text, end)
        if text[at] == ",":
            at = _skip_space(text, at + 1)
    return raw, at + 1


def _value_end(text: str, at: int) -> int:
    try:
        return _MEMBERS.raw_decode(text, at)[1]
    except RecursionError:
        raise InvalidJson("The JSON is nested too deeply.") from None


def _skip_space(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at
