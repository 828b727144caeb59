"""One process: its parts put together, started, and stopped again."""

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from eventbus_gateway.api.access_log import AccessLog
from eventbus_gateway.api.admission import admission, bounds
from eventbus_gateway.api.asgi import AsgiAdapter
from eventbus_gateway.api.audit import AuditLog
from eventbus_gateway.api.dead_letters import DeadLetters
from eventbus_gateway.api.drain import Drain
from eventbus_gateway.api.edge import Edge
from eventbus_gateway.api.gateway import Gateway
from eventbus_gateway.api.ids import IdSource
from eventbus_gateway.api.internal import Internal
from eventbus_gateway.api.outgoings import Outgoings
from eventbus_gateway.api.overseer import Overseer
from eventbus_gateway.api.own import Own
from eventbus_gateway.api.peers import PEER_BODIES, PeerRoutes
from eventbus_gateway.api.publish import Publish
from eventbus_gateway.api.read import Read
from eventbus_gateway.api.receive import Receive
from eventbus_gateway.api.records import RecordBuilder
from eventbus_gateway.api.routes import Router
from eventbus_gateway.api.server import Server, address_of, listen
from eventbus_gateway.api.settle import Settle
from eventbus_gateway.api.subscription_status import Status
from eventbus_gateway.api.subscriptions import Subscriptions
from eventbus_gateway.api.table import SubscriptionHandlers, contract_routes, internal_routes, public_routes
from eventbus_gateway.api.topics import Topics
from eventbus_gateway.api.webhooks import Webhooks
from eventbus_gateway.auth.chain import Anonymous
from eventbus_gateway.auth.limits import limits
from eventbus_gateway.auth.policy import Policy, policy
from eventbus_gateway.config import Config
from eventbus_gateway.errors import GatewayError
from eventbus_gateway.gauges import measure, measure_replica, measure_upstream
from eventbus_gateway.identity.identity import Identity
from eventbus_gateway.identity.key_topic import needed_topics
from eventbus_gateway.kafka.administration import Administration
from eventbus_gateway.kafka.checks import Checks
from eventbus_gateway.kafka.cluster import Cluster
from eventbus_gateway.kafka.embedded import EmbeddedKafka, EmbeddedSink
from eventbus_gateway.kafka.embedded_positions import EmbeddedPositions
from eventbus_gateway.kafka.embedded_topics import EmbeddedTopics
from eventbus_gateway.kafka.events import ProducerEvent
from eventbus_gateway.kafka.follower import Pace
from eventbus_gateway.kafka.internal_topics import InternalTopics
from eventbus_gateway.kafka.positions import Positions
from eventbus_gateway.kafka.producer import KafkaProducer
from eventbus_gateway.kafka.reader import KafkaReader
from eventbus_gateway.schemas.cache import Schemas
from eventbus_gateway.schemas.measured import MeasuredRegistry
from eventbus_gateway.schemas.opening import registry
from eventbus_gateway.subscriptions.outgoing import Outgoing
from eventbus_gateway.subscriptions.replica import Replica, Surroundings
from eventbus_gateway.telemetry import Metrics
from eventbus_gateway.traces import Traces
from eventbus_gateway.webhooks.outlet import Outlet, Telling

_logger = logging.getLogger(__name__)

# The process is ready without warm caches when Kafka or the registry let it wait.
_WARM_UP_SECONDS = 5.0
# Before the end of the drain, so that callers still hear what is not known.
_LAST_WORDS_SECONDS = 1.0
_STANDARD_OUTPUT = 1
_TOPICS_SECONDS = 10.0
# The embedded Kafka keeps a request open although something came, so tables ask it often.
_EMBEDDED_PACE = Pace(fetch_wait_ms=10)
_YOUNG_OBJECTS = 20_000


class Addresses(NamedTuple):
    """Where a running process listens.

    Args:
        public: host and port for callers.
        internal: host and port for probes and metrics.
    """

    public: tuple[str, int]
    internal: tuple[str, int]


class Subscribing(NamedTuple):
    """What a process has beside the rest when it serves subscriptions.

    Args:
        replica: its part among all that serve them.
        outlet: delivers to their webhooks.
    """

    replica: Replica
    outlet: Outlet


def _log_addresses(addresses: Addresses) -> None:
    _logger.info("serving %s:%d, probes and metrics on %s:%d", *addresses.public, *addresses.internal)


class App:
    """A gateway process.

    Args:
        config: all of its configuration.
        embedded: the Kafka inside this process; callers find the schemas here too then, as ``eventbus dev`` has it.

    Raises:
        ValueError: the registry's address or certificates, or the audit's file, cannot be used.
        SchemaUnusable: a file in the schema folder is no schema.
    """

    def __init__(self, config: Config, *, embedded: EmbeddedKafka | None = None) -> None:
        self._config = config
        self._embedded = embedded
        self._stop = asyncio.Event()
        self.state = "starting"
        self.metrics = Metrics()
        self._limits = limits(config.auth, bounds(config.http, config.kafka, config.read))
        self.admission = admission(config.http, shares=self._limits is not None)
        self._ids = IdSource()
        self._registry = MeasuredRegistry(registry(config.registry), self.metrics)
        self._schemas = Schemas(self._registry, config.registry)
        self._producer = KafkaProducer(config.kafka, on_event=self._note)
        self._cluster = Cluster(config.kafka, self._producer)
        self._reading_topics: asyncio.Task[None] | None = None
        self._topics = Topics(self._cluster, config.topics, config.topic_defaults)
        self._administration = Administration(config.kafka)
        keeper = InternalTopics(self._administration, _TOPICS_SECONDS)
        self._identity = Identity(config.auth, config.subscriptions, config.kafka, self._producer, keeper)
        self._identity.measure(self.metrics)
        measure_upstream(self.metrics, self._schemas, config.kafka)
        positions = Positions if embedded is None else EmbeddedPositions
        self._positions = positions(self._administration, config.kafka, config.consume)
        internal = [topic.name for topic in needed_topics(config.auth, config.subscriptions)]
        self._checks = Checks(config.kafka, self._administration, self._producer, config.topics, internal)
        self._reader = _kafka_reader(config, self._positions, self._producer)
        self._drain = Drain()
        self._outgoings = Outgoings(self._schemas)
        self._traces = Traces(config.tracing, self.metrics, config.kafka.max_record_bytes)
        attempts, took = self.metrics.subscriptions.attempts, self.metrics.webhook_seconds.observe
        telling = Telling(lambda *labels: attempts.add(labels), took, self._traces.deliver)
        self._outlet = Outlet(config.webhooks, self._outgoing_of, telling) if config.subscriptions.enabled else None
        self._read = Read(self._topics, self._outgoings, self._reader, config.read, self._drain, self.metrics)
        self._access_log = AccessLog(_STANDARD_OUTPUT, config.http.access_log_max_bytes, self.metrics)
        self._audit = AuditLog(config.audit, self._access_log, self.metrics)

    def stop(self) -> None:
        """Ask a running process to drain and end."""
        self._stop.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Addresses]:
        """Serve while the context is open; leaving it drains."""
        config, http = self._config, self._config.http
        # Bound at once: ports that are taken are found out before anything else begins.
        callers = listen(http.host, http.port, reuse_port=http.reuse_port)
        probes = listen(http.internal_host, http.internal_port)
        parts = None if self._outlet is None else self._subscribing(address_of(probes), self._outlet)
        gateway = self._gateway(parts)
        edge = Edge(gateway, self.admission, config.http, config.publish, self._ids)
        adapter = AsgiAdapter(gateway, self.admission, config.publish, self._ids)
        internal_edge = self._internal_edge(parts)
        internal_adapter = AsgiAdapter(internal_edge.gateway, internal_edge.admission, PEER_BODIES, self._ids)
        public = Server(adapter, edge, callers, http.drain_seconds)
        internal = Server(internal_adapter, internal_edge, probes, http.drain_seconds)
        measure(self.metrics, edge, self._producer, self._read, self._reader)
        if parts is not None:
            measure_replica(self.metrics, parts.replica)

        # Phase 1: reach Kafka and the registry, without insisting on either
        await self._reach(parts)

        # Phase 2: listen; probes first, so that nobody is sent here too early
        self._access_log.start()
        self._audit.start()
        internal_edge.start()
        edge.start()
        probing = await internal.start()
        serving = await public.start()
        _settle_memory()
        try:
            self.state = "ready"
            yield Addresses(address_of(callers), address_of(probes))
        finally:
            # Phase 3: take no new connections, end what waits, answer what was accepted
            self.state = "draining"
            self._drain.begin()
            public.should_exit = True
            await self._answered(serving)

            # Phase 4: let other replicas take over what is served here, while the internal port still answers them
            if parts is not None:
                await parts.replica.close()
                await parts.outlet.close()

            # Phase 5: let Kafka acknowledge what is still under way (its caller may have gone)
            await asyncio.gather(
                self._checks.close(), self._identity.close(), self._cluster.close(), self._reader.close()
            )
            await self._administration.close()
            await self._producer.drain(config.http.drain_seconds)
            await self._schemas.aclose()

            # Phase 6: the last to go are the probes and the log
            await self._traces.close()
            internal.should_exit = True
            await asyncio.gather(probing, return_exceptions=True)
            edge.stop()
            internal_edge.stop()
            self._audit.stop()
            self._access_log.stop()

    async def _reach(self, parts: Subscribing | None) -> None:
        self._traces.start()
        await self._producer.start()
        await self._administration.start()
        if self._embedded is None:
            self._checks.start()
        await self._warm_up()
        patience = _WARM_UP_SECONDS if self._producer.status().up else 0.0
        await self._identity.start(patience)
        if parts is not None:
            await parts.outlet.start(parts.replica.lifecycle.disable)
            await parts.replica.start(patience)

    async def run(self, on_ready: Callable[[Addresses], None] = _log_addresses) -> None:
        """Serve until SIGTERM, SIGINT or :meth:`stop`, then drain.

        Args:
            on_ready: told where the process listens, once it does.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        async with self.running() as addresses:
            on_ready(addresses)
            await self._stop.wait()
            _logger.info("draining")

    async def _answered(self, serving: "asyncio.Task[None]") -> None:
        """Wait until the server has ended; what Kafka leaves unconfirmed for too long is answered as unknown.

        The server cuts off whatever is unanswered at the end of its time, without a word.
        """
        seconds = self._config.http.drain_seconds
        await asyncio.wait([serving], timeout=max(seconds / 2, seconds - _LAST_WORDS_SECONDS))
        if not serving.done():
            await self._producer.drain(0)
        await asyncio.gather(serving, return_exceptions=True)

    def _gateway(self, parts: Subscribing | None) -> Gateway:
        config = self._config
        allowed = policy(config.auth)
        builder = RecordBuilder(config.kafka.max_record_bytes, self._ids)
        sink = EmbeddedSink(self._producer) if self._embedded is not None else self._checks.guard(self._producer)
        publish = Publish(self._topics, self._schemas, sink, config.publish, builder, self.metrics)
        served = self._registry if self._embedded is not None else None
        subscriptions = SubscriptionHandlers() if parts is None else self._subscription_handlers(parts, allowed)
        routes = public_routes(publish, self._read, self._topics, self._schemas, allowed, served, subscriptions)
        routes += contract_routes(config.http)
        log = self._access_log if config.http.access_log else None
        who = self._identity.authenticate
        return self._traces.gateway(Router(routes), who, allowed, self.metrics, log, self._limits, self._audit.audit)

    def _subscription_handlers(self, parts: Subscribing, allowed: Policy) -> SubscriptionHandlers:
        replica, outlet = parts
        settings, shards, positions = self._config.subscriptions, replica.routing, self._positions
        own = Own(replica.store, allowed)
        receive = Receive(own.pulled, shards, settings, self._drain)
        self.metrics.gauge("eventbus_subscription_polls", "Receives under way.", lambda: receive.polls)
        return SubscriptionHandlers(
            Subscriptions(replica.store, own, replica.lifecycle, settings, outlet.check_url, outlet.asks),
            DeadLetters(own, replica.places, self._reader, self._outgoing_of, self._config.read),
            receive,
            Settle(own.pulled, shards, settings),
            Status(
                own.allowed, shards, positions.ends, positions.committed, self._partitions_of, settings.group_prefix
            ),
            Webhooks(own, replica.lifecycle, shards, outlet.ping, self._ids),
            Overseer(replica.store, allowed, replica.lifecycle, settings.group_prefix),
        )

    def _outgoing_of(self, topic: str) -> Outgoing:
        return self._outgoings.known(topic) or self._outgoings.of(self._topics.view(topic))

    async def _partitions_of(self, topic: str) -> int:
        return (await self._topics.metadata(topic)).partitions

    def _subscribing(self, internal: tuple[str, int], outlet: Outlet) -> Subscribing:
        config = self._config
        embedded = self._embedded
        around = Surroundings(
            config.kafka,
            config.consume,
            self._producer,
            self._positions,
            self._cluster,
            InternalTopics(self._administration, _TOPICS_SECONDS) if embedded is None else EmbeddedTopics(embedded),
            self._outgoing_of,
            self._partitions_of,
            lambda name, what, number: self.metrics.subscriptions.events.add((name, what), number),
            outlet.push,
            outlet.vault,
            config.subscriptions.advertised_address or _host_port(*internal),
            Pace() if embedded is None else _EMBEDDED_PACE,
        )
        return Subscribing(Replica(config.subscriptions, around), outlet)

    def _internal_edge(self, parts: Subscribing | None) -> Edge:
        config = self._config
        routes = internal_routes(Internal(self.metrics, lambda: self.state))
        if parts is not None:
            settings = config.subscriptions
            peers = PeerRoutes(
                parts.replica.shards,
                settings.peer_secret,
                self._drain,
                max_wait_seconds=settings.max_wait_seconds,
                max_requests=max(1, config.http.max_in_flight_requests // 2),
            )
            routes += peers.routes()
        gateway = Gateway(Router(routes), Anonymous(), Policy(None), Metrics(), audit=self._audit.audit)
        return Edge(gateway, admission(config.http, shares=False), config.http, PEER_BODIES, self._ids)

    def _note(self, event: ProducerEvent) -> None:
        self.metrics.kafka_events.add((event.kind,))

    async def _warm_up(self) -> None:
        """Read topics and schemas, so that the first publish to each is as fast as the next."""
        # Not cut off with the others: only its end begins the regular reading, without which topics never change.
        self._reading_topics = asyncio.create_task(self._cluster.start())
        jobs: list[Awaitable[None]] = [self._warm_up_topic(name) for name in self._config.topics]
        if self._producer.status().up:
            jobs.append(asyncio.shield(self._reading_topics))
        try:
            async with asyncio.timeout(_WARM_UP_SECONDS):
                await asyncio.gather(*jobs)
        except TimeoutError:
            _logger.warning("starting with cold caches: Kafka or the schema registry did not answer in time")

    async def _warm_up_topic(self, name: str) -> None:
        topic = self._topics.view(name)
        if topic.is_avro:
            # What is missing or broken is told to whoever publishes; it must not keep the others from starting.
            with contextlib.suppress(GatewayError):
                await self._schemas.get(topic.subject, topic.settings.schema_version, topic.options)


def _kafka_reader(config: Config, positions: Positions, producer: KafkaProducer) -> KafkaReader:
    return KafkaReader(
        config.kafka,
        positions,
        lambda: producer.status().up,
        max_readers=config.read.max_readers,
        idle_seconds=config.read.reader_idle_seconds,
    )


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _settle_memory() -> None:
    """Take what start-up made out of the garbage collector's sight and let it run less often.

    Measured, collections took a fifth of the event loop's time: requests make many containers, nearly all of which
    die by reference count, and each full collection walked every module and schema again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)
