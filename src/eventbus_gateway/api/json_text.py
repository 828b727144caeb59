"""JSON as callers send it: parsed within bounds, and what is wrong with it in sentences of our own."""

from typing import Any

import orjson

from eventbus_gateway.errors import BodyTooLarge, InvalidJson

UNCOUNTED_BYTES = 65_536
"""Below this size even the worst document is small in memory, and counting would cost more than it saves."""

# Texts that pass for faults of syntax unless somebody says what they are, by how orjson's messages about them begin.
_REASONS = {
    "depth limit": "The JSON is nested too deeply",
    "number is infinity": "A number is too large",
}


def parsed(text: bytes, max_values: int) -> Any:
    """The value of a JSON document.

    Args:
        text: the whole body of a request.
        max_values: values that it may have, counted roughly.

    Raises:
        InvalidJson: not one JSON document.
        BodyTooLarge: too many values.
    """
    if not text:
        raise InvalidJson("The body is empty.")
    check_values(text, max_values)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"{_reason(error)}, see line {error.lineno}, column {error.colno}.") from None


def check_values(text: bytes, max_values: int) -> None:
    """Refuse documents such as five megabytes of ``{}``, which need thirty times their size as objects.

    Raises:
        BodyTooLarge: there are more values, counted roughly.
    """
    if len(text) > UNCOUNTED_BYTES:
        values = text.count(b",") + text.count(b"[") + text.count(b"{")
        if values > max_values:
            raise BodyTooLarge(f"A JSON document may have about {max_values} values.")


def _reason(error: orjson.JSONDecodeError) -> str:
    """A sentence of our own, since the parser's can quote the text around the fault."""
    for start, reason in _REASONS.items():
        if error.msg.startswith(start):
            return reason
    return "The body is not JSON"
