"""Filters of subscriptions: patterns over the gateway's events.

An event has attributes (``id source type subject time topic key partition offset``, any CloudEvents extension) and
``data``. EventBridge has other names for some of them; a filter may use either.
"""

import re
from collections.abc import Mapping
from typing import Any

from eventbus_gateway.subscriptions.patterns.limits import DEFAULT_LIMITS, Limits
from eventbus_gateway.subscriptions.patterns.operators import refuse
from eventbus_gateway.subscriptions.patterns.pattern import DATA, Pattern, compile_pattern

# EventBridge's names and ours. Its resources are what the event is about, which is what a subject is.
SAME_THINGS: Mapping[str, str] = {"detail-type": "type", "detail": DATA, "resources": "subject"}

# CloudEvents 1.0, naming of attributes: https://github.com/cloudevents/spec, spec.md, "Attribute Naming Convention".
_ATTRIBUTE = re.compile(r"[a-z0-9]+")


def compile_filter(filter_: object, limits: Limits = DEFAULT_LIMITS) -> Pattern:
    """Compile the filter of a subscription or a read.

    Other than with a bare pattern, what could only be a mistake is refused: a name that no event can have at its top,
    fields below an attribute, and the same field twice, inside an ``$or`` and outside of it or under two names.

    Args:
        filter_: parsed JSON.
        limits: how large it may be.

    Raises:
        InvalidFilter: it is no filter, or exceeds a limit; with a JSON pointer to the place.
    """
    return compile_pattern(filter_, limits, repeated="refused", top_name=our_name)


def our_name(name: str, value: Any, pointer: str) -> str:
    """Our name for a name at the top of a filter.

    Args:
        name: ours or EventBridge's.
        value: what the filter says about it.
        pointer: where that stands.

    Raises:
        InvalidFilter: no event has this at its top.
    """
    first, dot, rest = name.partition(".")
    ours = SAME_THINGS.get(first, first)
    if ours == DATA:
        return ours + dot + rest
    if dot or not _ATTRIBUTE.fullmatch(ours):
        refuse(pointer, "no event has this: names of attributes are lower-case letters and digits")
    if isinstance(value, dict):
        refuse(pointer, "an attribute has no fields of its own: expected an array of values")
    return ours
