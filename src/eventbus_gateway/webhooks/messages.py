"""Events as requests to receivers: CloudEvents 1.0.2 over HTTP, in binary, structured and batched mode."""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

import orjson

from eventbus_gateway.subscriptions.outgoing import Event
from eventbus_gateway.webhooks.cloudevents import BATCH, STRUCTURED

_OCTETS = "application/octet-stream"
# CloudEvents HTTP binding, section 3.1.3.2: what a header carries as it is.
_plain = re.compile(r"[!#$&-~]*").fullmatch
# Type and subtype (RFC 9110, section 8.3.1), and parameters of visible characters.
_media = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:;[ -~]*[!-~])?", re.ASCII).fullmatch
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_MISSING = object()
_NO_HEADERS = frozenset({"data", "data_base64", "datacontenttype"})


class Message(NamedTuple):
    """What a request carries, whoever gets it.

    Args:
        headers: content type and attributes.
        body: as it is sent and signed.
    """

    headers: dict[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Message(bytes={len(self.body)})"


def binary(event: Event, value: bytes | None) -> Message:
    """Attributes as headers, data as the body.

    Args:
        event: as ``Outgoing`` made it.
        value: of its record, which is the body of what cannot be decoded.
    """
    data, content_type = event.get("data", _MISSING), event.get("datacontenttype")
    headers = {f"ce-{name}": _header(attribute) for name, attribute in event.items() if name not in _NO_HEADERS}
    if data is not _MISSING:
        headers["content-type"] = content_type or "application/json"
        return Message(headers, orjson.dumps(data))
    if value is None:
        return Message(headers, b"")  # a tombstone says so in an attribute, and has no content
    headers["content-type"] = _media_type(content_type)
    return Message(headers, value)


def structured(event: bytes) -> Message:
    """The whole event as one JSON document.

    Args:
        event: as JSON.
    """
    return Message({"content-type": STRUCTURED}, event)


def batch(events: Sequence[bytes]) -> Message:
    """Several events as a JSON array.

    Args:
        events: each as JSON.
    """
    return Message({"content-type": BATCH}, b"[%s]" % b",".join(events))


def _media_type(said: str | None) -> str:
    """The media type of a body that nobody has looked into.

    It comes from whoever stored the record. One of CloudEvents would have receivers look for attributes in it.
    """
    if said is None or not _media(said) or said.lower().startswith("application/cloudevents"):
        return _OCTETS
    return said


def _header(attribute: object) -> str:
    if attribute.__class__ is bool:
        return "true" if attribute else "false"
    text = attribute if attribute.__class__ is str else str(attribute)
    return text if _plain(text) else quote(text, safe=_SAFE)
