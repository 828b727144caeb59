"""CloudEvents of an HTTP request, in the three content modes (CloudEvents 1.0.2 HTTP binding, section 3)."""

import json
import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from eventbus_gateway.base64_text import base64_text

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

MAX_DEPTH = 200
"""Objects and arrays inside each other; whoever prints an event goes down into them."""

Event = dict[str, Any]
"""One event as the JSON format has it (CloudEvents 1.0.2 JSON format, section 3)."""

_REQUIRED = ("specversion", "id", "source", "type")
# Binary mode has these in the body and its media type.
_OF_BODY = frozenset({"data", "datacontenttype"})
_header = re.compile(r"ce-([a-z0-9]+)").fullmatch
_TOO_DEEP = f"the JSON is nested more than {MAX_DEPTH} levels deep"
_escaped = re.compile(r"\\(.)")


class NotUnderstood(NamedTuple):
    """Why a request has no events.

    Args:
        known_format: whether it says that it has some, and only they are wrong.
        reason: a sentence for people that quotes nothing.
    """

    known_format: bool
    reason: str


def events_of(headers: Iterable[tuple[str, str]], body: bytes) -> list[Event] | NotUnderstood:
    """The events of a request; all of them, or why there are none.

    Args:
        headers: names in any case, with their values.
        body: whole and uncompressed.
    """
    lowered = [(name.lower(), value) for name, value in headers]
    media = next((value for name, value in lowered if name == "content-type"), "").partition(";")[0].strip().lower()
    try:
        if media == STRUCTURED:
            return [_checked(_json(body))]
        if media == BATCH:
            return _batch(_json(body))
        if media.startswith("application/cloudevents"):
            return NotUnderstood(False, f"of the formats of CloudEvents only {STRUCTURED} and {BATCH} are understood")
        attributes = _attributes(lowered)
        if not attributes:
            return NotUnderstood(False, f"neither ce- headers nor {STRUCTURED} nor {BATCH}: this is no CloudEvent")
        return [_checked({**attributes, **_content(lowered, media, body)})]
    except _Malformed as malformed:
        return NotUnderstood(True, str(malformed))


class _Malformed(Exception):
    pass


def _batch(value: Any) -> list[Event]:
    if not isinstance(value, list):
        raise _Malformed("a batch must be a JSON array")
    return [_checked(each) for each in value]


def _checked(event: Any) -> Event:
    if not isinstance(event, dict):
        raise _Malformed("an event must be a JSON object")
    for name in _REQUIRED:
        if not isinstance(event.get(name), str) or not event[name]:
            raise _Malformed(f"the attribute {name} is missing or no text")
    if event["specversion"] != "1.0":
        raise _Malformed("specversion must be 1.0")
    return event


def _attributes(headers: Iterable[tuple[str, str]]) -> Event:
    found: Event = {}
    for header, value in headers:
        match = _header(header)
        if match is None or match[1] in _OF_BODY:
            continue
        if match[1] in found:
            raise _Malformed(f"the header {header} is there more than once")
        found[match[1]] = _header_text(header, value)
    return found


def _header_text(header: str, value: str) -> str:
    """The text of an attribute (HTTP binding, section 3.1.3.2)."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = _escaped.sub(r"\1", value[1:-1])
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeError:
        raise _Malformed(f"the header {header} is not UTF-8 in percent-encoding") from None


def _content(headers: Iterable[tuple[str, str]], media: str, body: bytes) -> Event:
    """``data`` or ``data_base64`` with its media type; a body that is empty is none."""
    typed = [value for name, value in headers if name == "content-type"]
    event: Event = {"datacontenttype": typed[0]} if typed else {}
    if not body:
        return event
    if media == "application/json" or media.endswith("+json"):
        return {**event, "data": _json(body)}
    try:
        return {**event, "data": body.decode()}
    except UnicodeDecodeError:
        return {**event, "data_base64": base64_text(body)}


def _json(body: bytes) -> Any:
    try:
        value = json.loads(body.decode(), parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise _Malformed(_TOO_DEEP) from None
    except ValueError:
        raise _Malformed("the body is not valid JSON in UTF-8") from None
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for each in level for inner in _inside(each) if isinstance(inner, dict | list)]
        if not level:
            return value
    raise _Malformed(_TOO_DEEP)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number
