"""How much a table may hold."""

from typing import NamedTuple

from eventbus_gateway.errors import EventTooLarge, GatewayError, Overloaded
from eventbus_gateway.kafka.view import View

_MAX_KEY_BYTES = 1_024
_RETRY_SECONDS = 60.0


class TableLimits(NamedTuple):
    """Bounds of a table; replicas that write at the same time can each exceed them by one entry.

    Args:
        max_entries: entries; as many deleted keys are remembered beside them.
        max_bytes: bytes of all keys and values.
        max_value_bytes: bytes of one value.
        visible_seconds: how long a stored write may take to show in the own view.
    """

    max_entries: int
    max_bytes: int
    max_value_bytes: int = 262_144
    visible_seconds: float = 10.0

    def refusal(self, view: View, key: str, value: bytes) -> GatewayError | None:
        """Why an entry cannot be written, None where it can.

        Args:
            view: what the table holds.
            key: of the entry.
            value: its new content.

        Raises:
            ValueError: there cannot be such a key.
        """
        if not 0 < len(key.encode()) <= _MAX_KEY_BYTES:
            raise ValueError(f"keys have 1 to {_MAX_KEY_BYTES} bytes")
        current = view.current(key)
        if len(value) > self.max_value_bytes:
            return EventTooLarge(f"It has more than {self.max_value_bytes} bytes")
        if current is None and view.graves >= self.max_entries:
            return _full("Too many entries were deleted in the last day")
        if (current is None or current.grave) and len(view) >= self.max_entries:
            return _full(f"There are {self.max_entries} entries already, which is the limit")
        more = len(value) + len(key) if current is None else len(value) - len(current.value)
        if more > 0 and view.bytes + more > self.max_bytes:
            return _full(f"All entries together would have more than {self.max_bytes} bytes")
        return None


def _full(sentence: str) -> GatewayError:
    return Overloaded(sentence, retry_after=_RETRY_SECONDS)
