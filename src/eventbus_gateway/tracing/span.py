"""One step of a trace."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from eventbus_gateway.logs import Traced
from eventbus_gateway.tracing.context import Context

Value = str | int

_NOTHING: Mapping[str, Value] = {}


class Kind(Enum):
    """What a span is."""

    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"


class About:
    """What many spans have in common. Whoever makes spans keeps it, so that it is also written only once.

    Args:
        name: low-cardinality name.
        kind: what they are.
        attributes: that all of them have.
    """

    __slots__ = ("attributes", "kind", "name")

    def __init__(self, name: str, kind: Kind, attributes: Mapping[str, Value] = _NOTHING) -> None:
        self.name = name
        self.kind = kind
        self.attributes = attributes


class Span(Traced):
    """A step that is recorded.

    Args:
        about: what it is.
        context: as others name it.
        parent_id: of the span that caused it; empty for the first one of a trace.
        began: nanoseconds since the epoch.
    """

    __slots__ = (
        "about",
        "attributes",
        "before_end",
        "began",
        "child",
        "context",
        "ended",
        "error",
        "later",
        "links",
        "parent_id",
    )

    def __init__(self, about: About, context: Context, parent_id: str, began: int) -> None:
        super().__init__(context[:2])
        self.about = about
        self.context = context
        self.parent_id = parent_id
        self.began = began
        self.ended = 0
        self.error: str | None = None
        """A word of a closed set where it failed."""
        self.attributes = _NOTHING
        """Those of its own."""
        self.links: Sequence[Context] = ()
        self.child: Span | None = None
        """The first one that it causes, made before that begins."""
        self.before_end: Callable[[], None] | None = None
        """Called when it ends, for what ends with it."""
        self.later: Callable[[Span], None] | None = None
        """Fills in what is not needed before it is written."""

    @property
    def traceparent(self) -> str:
        """What others are told, so that their part of the trace follows from this span."""
        return f"00-{self.context.trace_id}-{self.context.span_id}-01"

    def complete(self) -> None:
        """Have everything filled in."""
        later, self.later = self.later, None
        if later is not None:
            later(self)
