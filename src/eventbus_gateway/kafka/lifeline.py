"""Keeps one usable client: opens it, watches whether Kafka can be reached, replaces it after a fatal error."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial

from confluent_kafka import KafkaError, KafkaException

from eventbus_gateway.errors import GatewayError, InternalError, KafkaUnavailable, ShuttingDown
from eventbus_gateway.kafka.client import Client
from eventbus_gateway.kafka.events import Kind, ProducerEvent
from eventbus_gateway.kafka.reachability import Reachability
from eventbus_gateway.kafka.settings import KafkaSettings

logger = logging.getLogger("eventbus_gateway.kafka")

_CLOSE_SECONDS = 2.0
_REJECTED = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
_REJECTED_BY_IAM = (
    "Kafka does not take the gateway's AWS identity: look at its credentials, "
    "and grant it kafka-cluster:Connect on the cluster"
)
_QUIET = frozenset[Kind]({"up", "replaced", "throttled"})


class Lifeline:
    """The present client, if there is one, and the reason why publishes are refused, if there is one.

    Args:
        settings: how to reach Kafka.
        make: makes a client that is not open yet.
        on_change: told whenever ``client`` or ``refusal`` may have changed.
        on_event: told about rare incidents.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        make: Callable[[], Client],
        on_change: Callable[[], None],
        on_event: Callable[[ProducerEvent], None],
    ) -> None:
        self._settings = settings
        self._make = make
        self._on_change = on_change
        self._on_event = on_event
        self._reachability = Reachability(self._probe, settings.probe_seconds, self._reachability_changed)
        self._replacing: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._closed = False
        self._rejected = False
        self.client: Client | None = None
        self.refusal: Callable[[], GatewayError] | None = KafkaUnavailable
        self.replaced = 0

    async def start(self) -> None:
        """Open the first client and read all topics; Kafka need not be reachable.

        Raises:
            InternalError: librdkafka refuses the configuration.
        """
        try:
            await self._open()
        except KafkaException as error:
            reason = next(iter(error.args), None)
            sentence = reason.str() if isinstance(reason, KafkaError) else "unknown reason"
            raise InternalError(f"The Kafka client refuses its configuration: {sentence}") from None
        await self._reachability.check()

    async def topics(self) -> Mapping[str, int]:
        """All topics that Kafka shows us, with their number of partitions.

        Raises:
            KafkaUnavailable: no broker answered within the metadata timeout.
        """
        if self.client is None:
            raise KafkaUnavailable(retry_after=self._settings.probe_seconds)
        try:
            metadata = await self.client.list_topics(self._settings.metadata_timeout_seconds)
        except (KafkaException, RuntimeError):
            # RuntimeError: the client was replaced while its thread started.
            raise KafkaUnavailable(retry_after=self._settings.probe_seconds) from None
        return {name: len(topic.partitions) for name, topic in metadata.topics.items() if topic.partitions}

    def report(self, code: int) -> None:
        """Take in an error code that the client reports about its connections."""
        if code in _REJECTED and not self._rejected:
            self._rejected = True
            iam = self._settings.sasl_mechanism == "AWS_MSK_IAM"
            logger.warning(_REJECTED_BY_IAM if iam else "Kafka does not take the gateway's credentials")
        self._reachability.report(code)

    def refresh_soon(self) -> None:
        """Read all topics again: the client refuses a topic that it once had no permission for until it does.

        However often it is asked for, one reading at a time and a pause after each.
        """
        if (self._refreshing is None or self._refreshing.done()) and not self._closed:
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh())

    def replace(self, reason: str) -> None:
        """Give the client up and build another one; refuses publishes until that one stands."""
        if self.client is None:
            return
        self.client.rescue_reports()
        self.release()
        self._set_gate()
        self.emit("fatal", reason)
        if self._replacing is None or self._replacing.done():
            self._replacing = asyncio.get_running_loop().create_task(self._replace())

    def refuse(self) -> None:
        """The gateway shuts down: take no publish any more."""
        self._closed = True
        self._set_gate()

    def release(self) -> asyncio.Future[None] | None:
        """Let the client go on a thread; completes when it is gone."""
        client, self.client = self.client, None
        self._on_change()
        return client.close() if client is not None else None

    async def close(self) -> None:
        """Stop watching and let the client go; waits a moment for it."""
        self.refuse()
        self._reachability.close()
        for task in (self._replacing, self._refreshing):
            if task is not None:
                task.cancel()
        closing = self.release()
        if closing is not None:
            await asyncio.wait([closing], timeout=_CLOSE_SECONDS)

    def emit(self, kind: Kind, detail: str) -> None:
        """Log a rare incident and pass it on."""
        logger.log(logging.INFO if kind in _QUIET else logging.WARNING, "%s: %s", kind, detail)
        self._on_event(ProducerEvent(kind, detail))

    async def _open(self) -> None:
        client = self._make()
        await client.open()
        if self._closed:
            client.close()
            return
        self.client = client
        self._set_gate()

    async def _replace(self) -> None:
        # A client that fails at once must not make us build one after the other.
        await asyncio.sleep(min(self._settings.probe_seconds, 0.01 * 2 ** min(self.replaced, 10)))
        while not self._closed:
            try:
                await self._open()
            except KafkaException:
                await asyncio.sleep(self._settings.probe_seconds)
                continue
            self.replaced += 1
            self.emit("replaced", "a new Kafka client stands")
            return

    async def _refresh(self) -> None:
        try:
            await self.topics()
        except KafkaUnavailable:
            logger.info("the topics cannot be read")
        await asyncio.sleep(self._settings.probe_seconds)

    async def _probe(self) -> bool:
        try:
            await self.topics()
        except KafkaUnavailable:
            return False
        self._rejected = False
        if self.client is not None:
            # What the client reported before this answer must not overrule it afterwards.
            self.client.poll_now()
        return True

    def _reachability_changed(self, reachable: bool) -> None:
        self._set_gate()
        self.emit("up" if reachable else "down", "Kafka can be reached" if reachable else "no broker can be reached")

    def _set_gate(self) -> None:
        if self._closed:
            self.refusal = ShuttingDown
        elif self.client is None or self._reachability.down:
            self.refusal = partial(KafkaUnavailable, retry_after=self._settings.probe_seconds)
        else:
            self.refusal = None
        self._on_change()
