"""Event patterns: which events a subscription wants.

The language is that of Amazon EventBridge. ``compile_pattern`` takes any pattern over any JSON object;
``compile_filter`` takes the filter of a subscription, over the gateway's events. ``PatternIndex`` finds which of
many patterns match.

Deliberate differences from the reference implementation (event-ruler 2.0): a key with a dot in an event is found by
a key of that spelling in the pattern, not by nested ones; a string has no quotes around it that a suffix or prefix
could match; ``equals-ignore-case`` works on whole characters, also beyond the 16 bits of Java's; excluding nothing
(``{"anything-but": {"prefix": []}}``) is refused; and there are limits.
"""

# The pattern of a filter is what can be wrong with it.
from eventbus_gateway.errors import InvalidFilter as InvalidPattern
from eventbus_gateway.subscriptions.patterns.filters import compile_filter
from eventbus_gateway.subscriptions.patterns.index import PatternIndex
from eventbus_gateway.subscriptions.patterns.limits import Limits
from eventbus_gateway.subscriptions.patterns.pattern import Pattern, compile_pattern

__all__ = ["InvalidPattern", "Limits", "Pattern", "PatternIndex", "compile_filter", "compile_pattern"]
