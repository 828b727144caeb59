"""One librdkafka producer, polled from the event loop."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin._metadata import ClusterMetadata

from eventbus_gateway.kafka.background import in_background
from eventbus_gateway.kafka.log_limit import AtMost

logger = logging.getLogger("eventbus_gateway.kafka.librdkafka")
"""What librdkafka itself logs; it repeats itself during outages, so only so much of it passes."""
logger.addFilter(AtMost(lines=20, seconds=10.0))

# produce() raises these when it does not take the record; ValueError and TypeError are records that no part of the
# gateway should build (a lone surrogate in a header's name, say), and they must not leave a request half counted.
NOT_TAKEN = (BufferError, KafkaException, ValueError, TypeError)

# The errors that say that an answer may have been lost; others (a coordinator that still loads, say) do not.
_CONNECTION_ERRORS = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._AUTHENTICATION,
        KafkaError._RESOLVE,
        KafkaError._SSL,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.SASL_AUTHENTICATION_FAILED,
    }
)

_TICK_SECONDS = 0.001
_IDLE_SECONDS = 1.0
_CLOSE_SECONDS = 5.0


class Listener(Protocol):
    """Who is told what a client reports, always on the event loop."""

    def busy(self) -> bool:
        """Whether something is in flight on the client."""
        ...

    def polled(self, now: float) -> None:
        """The client has been polled; time in seconds of the client's clock."""
        ...

    def connection_failed(self, code: int) -> None:
        """A connection failed, or all of them: an answer may be lost."""
        ...

    def throttled(self, seconds: float) -> None:
        """A broker delays us for a quota."""
        ...

    def failed_for_good(self, reason: str) -> None:
        """The client cannot send any more; some delivery reports are lost."""
        ...


class Client:
    """A producer that is served by the loop's own timer.

    A poll thread would fight the loop for the interpreter lock. While something is in flight the loop polls each
    millisecond, else once a second for errors and logs.

    Args:
        config: properties for librdkafka.
        listener: who is told.
        clock: seconds, monotonic.
    """

    def __init__(self, config: Mapping[str, Any], listener: Listener, clock: Callable[[], float]) -> None:
        self._config = dict(config)
        self._listener = listener
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._producer: Producer | None = None
        self._closed = False
        self.ticking = False
        """Whether the loop polls each millisecond."""

    async def open(self) -> None:
        """Create the producer, on a thread since this may block.

        Raises:
            KafkaException: librdkafka refuses the configuration.
        """
        callbacks = {"error_cb": self._on_error, "throttle_cb": self._on_throttle, "logger": logger}
        producer = await in_background("kafka-open", lambda: Producer({**self._config, **callbacks}))
        self._producer = producer
        if self._closed:
            self._dispose()
            return
        self._timer = self._loop.call_later(0, self._tick)

    @property
    def producer(self) -> Producer:
        """The open producer."""
        if self._producer is None:
            raise RuntimeError("the client is not open")
        return self._producer

    def wake(self) -> None:
        """Something is in flight: poll each millisecond from now on."""
        if self.ticking or self._closed:
            return
        self.ticking = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(_TICK_SECONDS, self._tick)

    async def list_topics(self, seconds: float, topic: str | None = None) -> ClusterMetadata:
        """Metadata of all topics or of one, read on a thread.

        It also renews what the client itself believes: after a refused permission, for example, it fails every
        record of the topic until then.

        Args:
            seconds: how long to wait.
            topic: name of the only topic to read.

        Raises:
            KafkaException: no broker answered in time.
        """

        def read() -> ClusterMetadata:
            producer = self.producer
            try:
                metadata: ClusterMetadata = producer.list_topics(topic, seconds)
                return metadata
            finally:
                # A traceback would keep it alive until the loop drops it, and the destructor blocks.
                del producer

        return await in_background("kafka-metadata", read)

    def poll_now(self) -> None:
        """Take in what the client has reported so far."""
        if self._timer is not None:
            self._timer.cancel()
            self._tick()

    def rescue_reports(self) -> None:
        """After a fatal error: take the delivery reports that wait already."""
        for _ in range(3):
            with contextlib.suppress(KafkaException, SystemError):
                self.producer.poll(0)

    def close(self) -> asyncio.Future[None] | None:
        """Stop polling and release the producer on a thread that nobody has to wait for."""
        if self._closed:
            return None
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        return self._dispose()

    def _tick(self) -> None:
        self._timer = None
        try:
            self.producer.poll(0)
        except (KafkaException, SystemError) as error:
            self._fatal(error)
            return
        finally:
            # Also when a callback raised something else: that must not end the polling.
            self._rearm()
        self._listener.polled(self._clock())

    def _rearm(self) -> None:
        if self._timer is None and not self._closed:
            self.ticking = self._listener.busy()
            self._timer = self._loop.call_later(_TICK_SECONDS if self.ticking else _IDLE_SECONDS, self._tick)

    def _fatal(self, error: Exception) -> None:
        first = next(iter(error.args), None)
        self._listener.failed_for_good(first.name() if isinstance(first, KafkaError) else type(error).__name__)

    def _dispose(self) -> asyncio.Future[None] | None:
        holder = [self._producer]
        self._producer = None

        def release() -> None:
            producer = holder.pop()
            if producer is None:
                return
            with contextlib.suppress(KafkaException, SystemError):
                producer.purge()
            deadline = time.monotonic() + _CLOSE_SECONDS
            # A fatal error is raised out of each flush; the reports behind it still have to be taken.
            while len(producer) and time.monotonic() < deadline:
                with contextlib.suppress(KafkaException, SystemError):
                    producer.flush(0.1)
            # The last reference goes here: librdkafka's destructor waits for its threads.
            del producer

        return in_background("kafka-close", release)

    def _on_error(self, error: KafkaError) -> None:
        if not self._closed and error.code() in _CONNECTION_ERRORS:
            self._listener.connection_failed(error.code())

    def _on_throttle(self, event: Any) -> None:
        if not self._closed:
            self._listener.throttled(float(event.throttle_time))
