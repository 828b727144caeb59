"""The watch over timeouts, which everything else relies on."""

import asyncio
import math
import threading

from tests.api.wire import TOPIC, calling, edge, eventually

from eventbus_gateway.kafka.memory import MemoryKafka


class Overdue:
    """A connection whose deadline has passed.

    Args:
        fails: what goes wrong when it is told so.
        flushes: whether it is the deadline for reading answers.
    """

    def __init__(self, fails: bool, flushes: bool) -> None:
        self.deadline = math.inf if flushes else 0.0
        self.flush_deadline = 0.0 if flushes else math.inf
        self.told = threading.Event()
        self._fails = fails

    def expire(self) -> None:
        self.deadline = self.flush_deadline = math.inf
        self.told.set()
        if self._fails:
            raise RuntimeError("fails")


def test_a_connection_that_fails_does_not_end_the_watch_over_the_others() -> None:
    failures: list[object] = []
    overdue = [Overdue(fails, flushes) for fails in (True, False) for flushes in (True, False)]
    with edge(kafka=MemoryKafka({TOPIC: 1}), header_timeout_seconds=0.3) as gateway:

        def begin() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
            gateway.edge.connections.update(overdue)

        gateway.call(begin)
        assert all(found.told.wait(5) for found in overdue)
        assert eventually(lambda: len(failures) == 2)
        gateway.call(lambda: gateway.edge.connections.difference_update(overdue))
        with calling(gateway) as caller:
            assert caller.closed()


def test_the_lag_of_the_loop_is_seen() -> None:
    with edge(kafka=MemoryKafka({TOPIC: 1})) as gateway:
        assert eventually(lambda: gateway.edge.now > 0)
        gateway.call(lambda: threading.Event().wait(0.7))
        assert eventually(lambda: gateway.edge.lag > 0.2)
