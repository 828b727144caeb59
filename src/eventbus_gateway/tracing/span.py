"""One step of a trace."""

from collections.abc import Sequence
from enum import Enum

from eventbus_gateway.logs import Traced
from eventbus_gateway.tracing.context import Context

Value = str | int


class Kind(Enum):
    """What a span is."""

    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"


class Span(Traced):
    """A step that is recorded.

    Args:
        name: low-cardinality name.
        kind: what it is.
        context: as others name it.
        parent_id: of the span that caused it; empty for the first one of a trace.
        began: nanoseconds since the epoch.
    """

    __slots__ = ("attributes", "began", "context", "ended", "error", "kind", "links", "name", "parent_id")

    def __init__(self, name: str, kind: Kind, context: Context, parent_id: str, began: int) -> None:
        super().__init__((context.trace_id, context.span_id))
        self.name = name
        self.kind = kind
        self.context = context
        self.parent_id = parent_id
        self.began = began
        self.ended = 0
        self.error: str | None = None
        """A word of a closed set where it failed."""
        self.attributes: dict[str, Value] = {}
        self.links: Sequence[Context] = ()

    @property
    def traceparent(self) -> str:
        """What others are told, so that their part of the trace follows from this span."""
        return f"00-{self.context.trace_id}-{self.context.span_id}-01"
