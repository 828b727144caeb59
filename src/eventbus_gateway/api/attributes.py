"""CloudEvents attributes: from HTTP headers or a JSON envelope to Kafka headers.

Rules come from CloudEvents 1.0.2, its HTTP and its Kafka protocol binding (binary mode: every attribute
becomes a header ``ce_<name>`` with a UTF-8 value, ``datacontenttype`` becomes ``content-type``).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from eventbus_gateway.errors import Fault, InvalidAttribute

MAX_NAME_LENGTH = 64
# Envelope members that are not attributes or do not travel as ce_ headers.
_ENVELOPE = frozenset({"data", "data_base64", "datacontenttype"})
# CloudEvents 1.0.2 section "Context Attributes": no attribute is called "data".
_NOT_IN_HEADERS = {
    "data": "the data is the body",
    "datacontenttype": "the media type of the data is the Content-Type header",
}

_NAME = re.compile(r"[a-z0-9]{1,64}").fullmatch
# RFC 3986 appendix A without its structure: no whitespace, no controls, no characters that may never stand in a URI.
_URI_REFERENCE = re.compile(r"[^\s\x00-\x20\x7f<>\"{}|\\^`]+").fullmatch
_RFC3339 = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})"
).fullmatch
# RFC 9110 section 5.6.4. Attributes are not sent quoted any more, but receivers have to understand those that are.
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"').fullmatch
_QUOTED_PAIR = re.compile(rb"\\(.)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search
# W3C Trace Context section 3.2: version 00, lower-case hexadecimal, not all zeros.
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
_JSON_MEDIA = re.compile(r"application/([a-z0-9.+-]+\+)?json\s*(;.*)?", re.IGNORECASE).fullmatch

_BARE = "is missing; data without an envelope is sent as application/json or application/x-ndjson"
_EXPECTED = "expected a string, a boolean or an integer of 32 bits"

Attributes = dict[str, str]


def from_headers(headers: Mapping[bytes, bytes], max_bytes: int) -> Attributes:
    """Attributes of binary mode: ``ce-<name>`` headers with percent-encoded UTF-8 values (HTTP binding 3.1.3.2).

    Raises:
        InvalidAttribute: with every fault.
    """
    if b"\nce-" not in b"\n" + b"\n".join(headers):  # one search over all names, since most requests have none
        return {}
    found: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, value in headers.items():
        if name.startswith(b"ce-"):
            attribute = name[3:].decode("latin-1")
            bare = _unquoted(value) if value.startswith(b'"') else value
            try:
                found[attribute] = (unquote_to_bytes(bare) if b"%" in bare else bare).decode()
            except UnicodeDecodeError:
                faults.append(Fault(f"/{attribute}", "expected UTF-8, percent-encoded where it is not ASCII"))
    for reserved, detail in _NOT_IN_HEADERS.items():
        if found.pop(reserved, None) is not None:
            faults.append(Fault(f"/{reserved}", detail))
    attributes = _checked(found, faults, max_bytes)
    if faults:
        raise InvalidAttribute("The CloudEvents headers have faults.", in_headers(faults))
    return attributes


def _unquoted(value: bytes) -> bytes:
    quoted = _QUOTED(value)
    return _QUOTED_PAIR.sub(rb"\1", quoted[1]) if quoted is not None else value


def in_headers(faults: Iterable[Fault]) -> list[Fault]:
    """Faults of attributes as those of the headers they came in: beside them the body is the data, so that a pointer
    would lead into the wrong document."""
    return [Fault("", f"header ce-{fault.pointer[1:]}: {fault.detail}") for fault in faults]


def from_envelope(envelope: Mapping[str, Any], max_count: int, max_bytes: int) -> Attributes:
    """Attributes of structured mode, without ``data``.

    Raises:
        InvalidAttribute: with every fault.
    """
    faults: list[Fault] = []
    if envelope.get("data_base64") is not None:
        faults.append(Fault("/data_base64", "binary data is not supported, send JSON in data"))
    elif "data" not in envelope:
        is_bare = envelope.get("specversion") is None
        faults.append(Fault("/data", _BARE if is_bare else "is missing"))
    if envelope.get("specversion") is None:
        faults.append(Fault("/specversion", "is missing, expected 1.0"))
    content = envelope.get("datacontenttype")
    if content is not None and not (isinstance(content, str) and _JSON_MEDIA(content)):
        faults.append(Fault("/datacontenttype", "expected application/json"))
    if len(envelope) > max_count:
        faults.append(Fault("", f"an event may have {max_count} attributes"))
        raise InvalidAttribute("The CloudEvents envelope has faults.", faults)
    found = {name: value for name, value in envelope.items() if name not in _ENVELOPE and value is not None}
    attributes = _checked(found, faults, max_bytes)
    if faults:
        raise InvalidAttribute("The CloudEvents envelope has faults.", faults)
    return attributes


def _checked(found: Mapping[str, Any], faults: list[Fault], max_bytes: int) -> Attributes:
    attributes: Attributes = {}
    for name, value in found.items():
        if _NAME(name) is None:
            shown = name[:MAX_NAME_LENGTH].replace("~", "~0").replace("/", "~1")
            faults.append(Fault(f"/{shown}", f"names are lower-case letters and digits, {MAX_NAME_LENGTH} at most"))
            continue
        text = _canonical(value) if name not in _RULES or isinstance(value, str) else None
        if text is None:
            detail: str | None = _EXPECTED if name not in _RULES else "expected a string"
        else:
            detail = _fault(name, text, max_bytes)
            attributes[name] = text
        if detail is not None:
            faults.append(Fault(f"/{name}", detail))
    return attributes


def _canonical(value: object) -> str | None:
    """The canonical string of an attribute value (CloudEvents 1.0.2, type system)."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and -(2**31) <= value < 2**31:
        return str(value)
    return None


def _fault(name: str, text: str, max_bytes: int) -> str | None:
    if len(text) > max_bytes or (not text.isascii() and len(text.encode(errors="replace")) > max_bytes):
        return f"may have {max_bytes} bytes"
    if _CONTROL(text) is not None:
        return "expected text without control characters"
    rule = _RULES.get(name)
    return rule(text) if rule is not None else None


def _nonempty(text: str) -> str | None:
    return None if text else "expected a non-empty string"


def _version(text: str) -> str | None:
    return None if text == "1.0" else "expected 1.0"


def _uri_reference(text: str) -> str | None:
    return None if _URI_REFERENCE(text) else "expected a URI reference"


def _time(text: str) -> str | None:
    if _RFC3339(text) is not None:
        try:
            datetime.fromisoformat(text[:10])
        except ValueError:
            return "expected a date that exists"
        return None
    return "expected an RFC 3339 timestamp such as 2026-01-31T09:30:00Z"


_RULES: Mapping[str, Callable[[str], str | None]] = {
    "specversion": _version,
    "id": _nonempty,
    "type": _nonempty,
    "subject": _nonempty,
    "partitionkey": _nonempty,
    "source": _uri_reference,
    "dataschema": _uri_reference,
    "time": _time,
}


def trace_headers(headers: Mapping[bytes, bytes], repeated: frozenset[bytes]) -> list[tuple[str, bytes]]:
    """W3C trace context of the request as Kafka headers; one that is not valid is left out, as the W3C asks.

    Args:
        headers: by lower-case name.
        repeated: names that came more than once, which leaves open what counts.
    """
    parent = headers.get(b"traceparent")
    if parent is None or b"traceparent" in repeated or _TRACEPARENT(parent) is None:
        return []
    state = headers.get(b"tracestate")
    if (
        state is None or b"tracestate" in repeated or len(state) > 512 or not state.isascii()
    ):  # W3C Trace Context section 3.3.1.5
        return [("traceparent", parent)]
    return [("traceparent", parent), ("tracestate", state)]
