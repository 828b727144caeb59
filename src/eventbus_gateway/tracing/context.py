"""W3C Trace Context: which trace something belongs to, and what caused it."""

import re
from typing import NamedTuple

# Section 3.2: version 00, lower-case hexadecimal, not all zeros.
_TRACEPARENT = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})").fullmatch
_SAMPLED = 1
_MAX_STATE = 512


class Context(NamedTuple):
    """A span as others name it.

    Args:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        sampled: whether whoever made it records the trace.
        state: ``tracestate`` as it came, empty where there is none.
    """

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""


def context(traceparent: bytes | None, tracestate: bytes | None = None) -> Context | None:
    """What the two headers say; None where the first is missing or not valid, as the W3C asks.

    Args:
        traceparent: header of a request or a record.
        tracestate: the other one; one that is not usable is left out.
    """
    found = None if traceparent is None else _TRACEPARENT(traceparent)
    if found is None:
        return None
    trace_id, span_id, flags = found.groups()
    return Context(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & _SAMPLED), _state(tracestate))


def _state(tracestate: bytes | None) -> str:
    # Records come from anywhere: what cannot stand in a header must not keep a delivery from being sent.
    if tracestate is None or len(tracestate) > _MAX_STATE or not tracestate.isascii():
        return ""
    text = tracestate.decode()
    return text if text.isprintable() else ""
