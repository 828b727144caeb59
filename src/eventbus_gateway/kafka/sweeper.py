"""Removes from a table's log what does not count any more."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from eventbus_gateway.errors import GatewayError
from eventbus_gateway.kafka.entries import tombstone
from eventbus_gateway.kafka.records import RecordSink
from eventbus_gateway.kafka.view import View

_SWEEP_SECONDS = 3_600.0
_SWEEP_RECORDS = 1_000
# Whoever wrote it removes it within moments; somebody else has to only if that process has died.
_LEFTOVER_SECONDS = 60.0


class Sweeper:
    """Writes tombstones; all replicas do, and the same one twice does no harm.

    Args:
        topic: name of the topic.
        sink: where tombstones go.
        now: seconds since the epoch.
    """

    def __init__(self, topic: str, sink: RecordSink, now: Callable[[], float]) -> None:
        self._topic = topic
        self._sink = sink
        self._now = now
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def watch(self, view: View) -> None:
        """Sweep a complete view now and regularly from now on, and no other one."""
        if self._closed:
            return
        # What a process left behind that died, and graves whose time is over.
        self.remove(view.removable(self._now(), _LEFTOVER_SECONDS, _SWEEP_RECORDS))
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self.watch, view)

    def remove(self, kafka_keys: Sequence[bytes]) -> None:
        """Remove records by their Kafka keys; nobody waits, since what fails now is done by the next sweep."""
        if kafka_keys and not self._closed:
            with contextlib.suppress(GatewayError):
                self._sink.send(self._topic, [tombstone(key) for key in kafka_keys])

    def close(self) -> None:
        """Remove nothing more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
