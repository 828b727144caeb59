"""CloudEvents attributes of records, from their headers (CloudEvents Kafka binding, binary mode) and their places."""

import re
from typing import Any

import orjson

from eventbus_gateway.kafka.consumed import Headers

# Under these names headers are looked up at once; "traceparent" and "tracestate" are attributes of the CloudEvents
# extension for distributed tracing under the very names of their headers.
_KNOWN = {
    "content-type": "datacontenttype",
    "traceparent": "traceparent",
    "tracestate": "tracestate",
    **{
        f"ce_{name}": name
        for name in (
            "specversion",
            "id",
            "source",
            "type",
            "time",
            "subject",
            "dataschema",
            "correlationid",
            "partitionkey",
            "causationid",
        )
    },
}
# CloudEvents 1.0.2 section "Attribute Naming Convention".
_NAME = re.compile(r"ce_([a-z0-9]{1,64})").fullmatch
_BLANK: dict[str, Any] = {"specversion": "1.0", **dict.fromkeys(("id", "source", "type", "time", "datacontenttype"))}
# What tells where a record is and what became of it never comes from the record itself.
_OWN = frozenset(
    {"data", "datacontenttype", "offset", "partition", "partitionkeybase64", "tombstone", "topic"}
    | {"undecodable", "undecodablereason"}
)


def stored_attributes(headers: Headers) -> dict[str, Any]:
    """What a record's headers say; where a header came twice, the last one counts.

    ``id``, ``source``, ``type``, ``time`` and ``datacontenttype`` are always there, None where no header says them.
    """
    event = _BLANK.copy()
    try:
        for name, value in headers.pairs():
            attribute = _KNOWN.get(name)
            if attribute is not None:
                event[attribute] = value.decode()  # type: ignore[union-attr]  # see below
            elif name.startswith("ce_"):
                _put_extension(event, name, value)
    except (UnicodeDecodeError, AttributeError):  # bytes that are no UTF-8, or a header without a value
        _put_carefully(event, headers)
    event["specversion"] = "1.0"
    return event


def attribute_of(name: str) -> str | None:
    """The attribute that a header says, None for other headers."""
    attribute = _KNOWN.get(name)
    if attribute is not None:
        return attribute
    found = _NAME(name)
    return found[1] if found is not None and found[1] not in _OWN else None


def _put_extension(event: dict[str, Any], name: str, value: bytes | None) -> None:
    attribute = attribute_of(name)
    if attribute is not None and value is not None:
        event[attribute] = value.decode()


def _put_carefully(event: dict[str, Any], headers: Headers) -> None:
    for name, value in headers.pairs():
        if value is not None:
            readable = value.decode(errors="replace")
            attribute = _KNOWN.get(name)
            if attribute is not None:
                event[attribute] = readable
            else:
                _put_extension(event, name, readable.encode())


def key_text(key: Any) -> str:
    """A decoded key as the text of an attribute: strings as they are, all else as JSON."""
    return key if key.__class__ is str else orjson.dumps(key).decode()
