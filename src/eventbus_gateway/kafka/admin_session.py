"""One client for administrative requests, from its opening to its end."""

import asyncio
import contextlib
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from itertools import count
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from eventbus_gateway.errors import InternalError, KafkaUnavailable
from eventbus_gateway.kafka.background import in_background
from eventbus_gateway.kafka.client import logger
from eventbus_gateway.kafka.configuration import client_config
from eventbus_gateway.kafka.reading_errors import meaning_of
from eventbus_gateway.kafka.settings import KafkaSettings

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

Answer = Future[T]
Answers = dict[K, T | KafkaException]
Begin = Callable[[AdminClient, float], Mapping[K, Answer[T]]]

_IDLE_SECONDS = 1.0
_CLOSE_SECONDS = 2.0


class AdminSession:
    """One ``AdminClient`` whose answers arrive on the event loop.

    Args:
        settings: how to reach Kafka.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._client: AdminClient | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: set[asyncio.Future[Any]] = set()
        self._closed = False

    async def start(self) -> None:
        """Create the client, on a thread since this may block; Kafka need not be reachable.

        Raises:
            InternalError: librdkafka refuses the configuration.
        """
        config = {
            **client_config(self._settings),
            # Also when a group's coordinator says that it is none any more, the client looks for another one only
            # after nobody has asked for the group for so long (and up to a second more: see Positions).
            "metadata.max.age.ms": 500,
            # Without one its errors are written to the terminal; calls tell their own.
            "error_cb": lambda error: None,
        }
        try:
            client = await in_background("kafka-admin-open", lambda: AdminClient(config, logger=logger))
        except KafkaException as error:
            reason = next(iter(error.args), None)
            sentence = reason.str() if isinstance(reason, KafkaError) else "unknown reason"
            raise InternalError(f"The Kafka client refuses its configuration: {sentence}") from None
        self._client = client
        # Or the destructor would run here, at the end of this function.
        del client
        if self._closed:
            self._release()
        else:
            self._tick()

    async def call(self, begin: Begin[K, T], *, gives_up: float, seconds: float) -> Answers[K, T]:
        """Begin a request and wait for all of its answers.

        Args:
            begin: begins a request that may take so many seconds.
            gives_up: after so many seconds the client does.
            seconds: after so long nobody waits any more.

        Returns:
            Each answer, or what was raised instead.

        Raises:
            GatewayError: what it means that the client refuses the request, or KafkaUnavailable where an answer is
                missing.
        """
        if self._client is None:
            raise KafkaUnavailable(retry_after=self._settings.probe_seconds)
        try:
            # No reference to the client stays here while this waits: its destructor blocks.
            answers = _on_loop(begin(self._client, gives_up))
        except KafkaException as error:
            raise meaning_of(error) from None
        self._waiting.add(answers)
        try:
            async with asyncio.timeout(seconds):
                return await answers
        except TimeoutError:
            raise KafkaUnavailable(retry_after=self._settings.probe_seconds) from None
        finally:
            self._waiting.discard(answers)

    async def close(self) -> None:
        """Let the client go on a thread; waits a moment for it. What is under way fails."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for answers in self._waiting:
            if not answers.done():
                answers.set_exception(KafkaUnavailable(retry_after=self._settings.probe_seconds))
        await asyncio.wait([self._release()], timeout=_CLOSE_SECONDS)

    def _tick(self) -> None:
        # Nobody else takes the client's log lines and errors; they would pile up.
        if self._client is not None:
            self._timer = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._tick)
            with contextlib.suppress(KafkaException):
                self._client.poll(0)

    def _release(self) -> asyncio.Future[None]:
        holder = [self._client]
        self._client = None
        # The last reference goes on the thread: librdkafka's destructor waits for its threads.
        return in_background("kafka-admin-close", holder.clear)


def _on_loop(answers: Mapping[K, Answer[T]]) -> asyncio.Future[Answers[K, T]]:
    """All answers of one request for who waits on the loop.

    Not ``asyncio.wrap_future``: it would pass a cancellation on, and the client fails to answer a cancelled future.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Answers[K, T]] = loop.create_future()
    missing = count(len(answers) - 1, -1)

    def settle() -> None:
        if future.done():
            return
        outcomes: Answers[K, T] = {}
        for key, answer in answers.items():
            error = answer.exception()
            if error is None:
                outcomes[key] = answer.result()
            elif isinstance(error, KafkaException):
                outcomes[key] = error
            else:
                future.set_exception(error)
                return
        future.set_result(outcomes)

    def answered(_: Answer[T]) -> None:
        if next(missing) == 0:
            # The loop may be closed when an answer comes late.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle)

    for answer in answers.values():
        answer.add_done_callback(answered)
    return future
