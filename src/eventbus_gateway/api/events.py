"""From the body of a publish to one draft per event."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import orjson

from eventbus_gateway.api.attributes import Attributes, from_envelope
from eventbus_gateway.api.json_text import UNCOUNTED_BYTES, check_values, parsed
from eventbus_gateway.api.settings import PublishSettings
from eventbus_gateway.api.slices import data_of, data_of_each
from eventbus_gateway.errors import (
    BatchTooLarge,
    BodyTooLarge,
    EmptyBatch,
    Fault,
    InvalidAttribute,
    InvalidJson,
)

# Lines that say something, from where they begin to say it.
_LINES = re.compile(rb"[^ \t\r\n][^\n]*+").finditer


# Past the keyword handling of a named tuple's own constructor, for what is made once an event.
_new = tuple.__new__
_loads = orjson.loads


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
    if not body or len(body) > UNCOUNTED_BYTES:
        return _new(Draft, (parsed(body, settings.max_json_values), body, None, ()))
    try:
        return _new(Draft, (_loads(body), body, None, ()))
    except orjson.JSONDecodeError:
        return _new(Draft, (parsed(body, settings.max_json_values), body, None, ()))


def one_cloudevent(body: bytes, settings: PublishSettings, keep_raw: bool) -> Draft:
    """The draft of ``application/cloudevents+json``.

    Raises:
        InvalidJson: not one JSON object.
        InvalidAttribute: attributes are missing or wrong.
        BodyTooLarge: too many values.
    """
    envelope = parsed(body, settings.max_json_values)
    if not isinstance(envelope, dict):
        raise InvalidJson("A structured CloudEvent is a JSON object.")
    attributes = from_envelope(envelope, settings.max_attributes, settings.max_attribute_bytes)
    raw = data_of(body) if keep_raw else b""
    return Draft(envelope["data"], raw, attributes)


def cloudevents(body: bytes, settings: PublishSettings, keep_raw: bool) -> Iterator[Draft]:
    """The drafts of ``application/cloudevents-batch+json``, in order.

    Raises:
        InvalidJson: not one JSON array.
        EmptyBatch: nothing in it.
        BatchTooLarge: too many events.
        BodyTooLarge: too many values.
    """
    envelopes = parsed(body, settings.max_json_values)
    if not isinstance(envelopes, list):
        raise InvalidJson("A batch of CloudEvents is a JSON array.")
    _check_count(len(envelopes), settings)
    raws = data_of_each(body) if keep_raw else None
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
    found = _lines(body, settings.max_batch_events + 1)
    _check_count(len(found), settings)
    max_bytes = settings.max_event_bytes
    for line in found:
        if len(line) > max_bytes:
            yield Draft(None, line, faults=(Fault("", f"one event may have {max_bytes} bytes"),))
            continue
        try:
            if len(line) > UNCOUNTED_BYTES:
                check_values(line, settings.max_json_values)
            data = _loads(line)
        except orjson.JSONDecodeError:
            yield Draft(None, line, faults=(Fault("", "expected one whole JSON value on this line"),))
        except BodyTooLarge as error:
            yield Draft(None, line, faults=(Fault("", error.detail),))
        else:
            yield _new(Draft, (data, line, None, ()))


def _lines(body: bytes, at_most: int) -> list[bytes]:
    """The lines that say something, without the space around them; no more of them than asked for.

    Five megabytes of two-byte lines would need thirty times that as objects, so many lines are not split at once.
    """
    if body.count(b"\n") < at_most:
        return [line for part in body.split(b"\n") if (line := part.strip(b" \t\r"))]
    return [line[0].rstrip(b" \t\r") for line in islice(_LINES(body), at_most)]


def _check_count(count: int, settings: PublishSettings) -> None:
    if count == 0:
        raise EmptyBatch("A batch has at least one event.")
    if count > settings.max_batch_events:
        raise BatchTooLarge(f"A batch may have {settings.max_batch_events} events.")
