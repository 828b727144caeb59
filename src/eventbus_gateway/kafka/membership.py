"""Which slots this process owns: membership in the consumer group of a topic that has a partition per slot.

Kafka's group protocol (classic, cooperative-sticky) hands the slots out. Being told is not enough to act, though: a
process that was stopped and resumed, or cut off, still believes in what it was told. So ownership is proved again and
again by a commit in the own group, which the coordinator accepts only from a member of its present generation. A
commit that began at time T and succeeded proves that the coordinator counted us after T, and it does so at least
until the session timeout has passed from there. Beyond that nothing is held, by the clock alone, before any callback
says so.

One commit proves all slots: it proves the membership, and a slot goes to somebody else only after its member has
given it back or is none any more.
"""

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from eventbus_gateway.kafka.client import logger as client_logger
from eventbus_gateway.kafka.configuration import client_config
from eventbus_gateway.kafka.holdings import Holdings
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.kafka.uptime import uptime

logger = logging.getLogger("eventbus_gateway.kafka.membership")

_POLL_SECONDS = 0.1
_PROOFS_PER_SESSION = 5
_MARGIN = 0.1
"""Part of the session timeout that is not trusted: clocks run at slightly different speeds."""
_HEARTBEAT_SECONDS = 1.0
"""How soon a member hears that somebody joined or left."""
_MIN_POLL_INTERVAL_SECONDS = 300.0
_LOST_ANSWER_SESSIONS = 3
"""Session timeouts after which an answer that has not come never will."""
# Another generation alone can also mean that a rebalance came between, so it is tried again first.
_NOT_A_MEMBER = frozenset({KafkaError.UNKNOWN_MEMBER_ID, KafkaError.FENCED_INSTANCE_ID})
_RETRY_SECONDS = 0.5


class Terms(NamedTuple):
    """What all members of a group agree on.

    Args:
        topic: the topic whose partitions are the slots.
        group: id of the group.
        session_seconds: after so long without a sign of life the coordinator gives a member's slots to others.
        release_seconds: how long giving slots back may take; afterwards they go to others all the same.
    """

    topic: str
    group: str
    session_seconds: float
    release_seconds: float


class SlotListener(Protocol):
    """Who works for the slots; always called on the event loop."""

    def assigned(self, acquisitions: Mapping[int, int]) -> None:
        """These slots are ours, each with a random number of 64 bits that stands for this acquisition."""
        ...

    async def revoked(self, slots: frozenset[int]) -> None:
        """Give these slots back: the next owner starts when this returns. They are held until then."""
        ...

    def lost(self, slots: frozenset[int]) -> None:
        """These slots may be somebody else's already."""
        ...


class _Proof(NamedTuple):
    begun: float
    member: str
    slots: frozenset[int]


class Membership:
    """This process as a member of the group; joins again by itself.

    All methods belong to the event loop that made it.

    Args:
        settings: how to reach Kafka.
        terms: of the group.
        listener: who works for the slots.
        clock: seconds that go on while the process is stopped.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        terms: Terms,
        listener: SlotListener,
        *,
        clock: Callable[[], float] = uptime,
    ) -> None:
        self._listener = listener
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._held = Holdings(terms.session_seconds * (1.0 - _MARGIN))
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = self._loop.create_future()
        self._member = _Member(settings, terms, clock, self)
        self.trouble: str | None = None
        """Why there is no membership now, None while there is no reason known."""

    def start(self) -> None:
        """Join; Kafka need not be reachable."""
        threading.Thread(target=self._run, name="eventbus-membership", daemon=True).start()

    async def close(self, seconds: float) -> None:
        """Give all slots back and leave the group, so that others take over at once.

        Args:
            seconds: how long to wait; without an answer the others take over after the session timeout.
        """
        self._member.stop()
        await asyncio.wait([self._ended], timeout=seconds)
        self._held.drop(self._held.slots())

    def holds(self, slot: int) -> bool:
        """Whether nobody else can have the slot at this moment."""
        return self._clock() < self._held.valid_until(slot)

    def valid_until(self, slot: int) -> float:
        """Until when, by the clock, nobody else can have the slot; minus infinity for one that is not ours."""
        return self._held.valid_until(slot)

    def acquisition(self, slot: int) -> int | None:
        """The number of the present acquisition of a slot, None where it is not held."""
        return self._held.acquisition(slot) if self.holds(slot) else None

    def slots(self) -> frozenset[int]:
        """The slots that are held at this moment."""
        return frozenset(slot for slot in self._held.slots() if self.holds(slot))

    # What the member tells, on its thread.

    def acquired(self, slots: frozenset[int], begun: float) -> None:
        """Slots are ours, and that is proved."""
        self._tell(self._acquired, slots, begun)

    def proved(self, slots: frozenset[int], begun: float) -> None:
        """They still were at this time."""
        self._tell(self._held.prove, slots, begun)

    def doubted(self, slots: frozenset[int]) -> None:
        """The coordinator does not know us any more; the client will notice, too."""
        self._tell(self._held.end_at, slots, self._clock())

    def dropped(self, slots: frozenset[int]) -> None:
        """They are not ours any more."""
        self._tell(self._lost, slots)

    def troubled(self, reason: str | None) -> None:
        """The group cannot be joined, or can again."""
        self._tell(self._troubled, reason)

    def release(self, slots: frozenset[int], seconds: float) -> None:
        """Have slots given back; blocks until that is done, or for so long."""
        done = threading.Event()
        # Whatever happens on the loop, from this time on the slots are not held.
        if self._tell(self._release, slots, self._clock() + seconds, done):
            done.wait(seconds)

    # Inside.

    def _run(self) -> None:
        self._member.run()
        self._tell(self._ended.set_result, None)

    def _tell(self, listen: Callable[..., object], *what: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(listen, *what)
        except RuntimeError:
            return False  # the loop was closed; nobody holds anything any more
        return True

    def _acquired(self, slots: frozenset[int], begun: float) -> None:
        acquisitions = {slot: secrets.randbits(64) for slot in sorted(slots)}
        self._held.acquire(acquisitions, begun)
        logger.info("took over %d slots", len(slots))
        self._listener.assigned(acquisitions)

    def _lost(self, slots: frozenset[int]) -> None:
        self._held.drop(slots)
        logger.warning("lost %d slots", len(slots))
        self._listener.lost(slots)

    def _release(self, slots: frozenset[int], deadline: float, done: threading.Event) -> None:
        self._held.end_at(slots, deadline)
        task = self._loop.create_task(self._give_back(slots, deadline, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _give_back(self, slots: frozenset[int], deadline: float, done: threading.Event) -> None:
        try:
            async with asyncio.timeout(deadline - self._clock()):
                await self._listener.revoked(slots)
            logger.info("gave %d slots back", len(slots))
        except TimeoutError:
            logger.warning("%d slots were given back before their work had ended", len(slots))
        # Whatever the listener's mistake, the group must not wait for it.
        except Exception:
            logger.exception("giving slots back failed")
        finally:
            self._held.drop(slots)
            done.set()

    def _troubled(self, reason: str | None) -> None:
        if reason is not None and reason != self.trouble:
            logger.warning("%s", reason)
        self.trouble = reason


class _Member:
    """The consumer behind a membership, and its thread; everything here blocks."""

    def __init__(self, settings: KafkaSettings, terms: Terms, clock: Callable[[], float], owner: Membership) -> None:
        self._settings = settings
        self._terms = terms
        self._clock = clock
        self._owner = owner
        self._stop = threading.Event()
        self._assigned: set[int] = set()
        self._announced: set[int] = set()
        # The one commit that was not answered yet. A second one is never begun before: answers do not say to which
        # they belong, and a proof must not be taken for a younger one.
        self._open: _Proof | None = None
        self._open_counts = False
        self._next_proof = float("-inf")
        self._consumer: Consumer | None = None

    def stop(self) -> None:
        """Leave the group soon."""
        self._stop.set()

    def run(self) -> None:
        """Be a member until ``stop()``."""
        while not self._stop.is_set():
            try:
                self._live()
            except KafkaException as error:
                self._owner.troubled(_reason(error, self._terms.topic))
                self._stop.wait(self._settings.probe_seconds)

    def _live(self) -> None:
        self._open, self._next_proof = None, float("-inf")
        consumer = self._consumer = Consumer(self._config(), logger=client_logger)
        try:
            consumer.subscribe(
                [self._terms.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            while not self._stop.is_set() and not self._is_stuck():
                message = consumer.poll(_POLL_SECONDS)
                if message is not None and (error := message.error()) is not None and _ends_life(error):
                    raise KafkaException(error)
                self._prove(consumer)
        finally:
            self._consumer = None
            # Gives the slots back through on_revoke, then leaves.
            consumer.close()
            self._forget()

    def _prove(self, consumer: Consumer) -> None:
        """Begin a proof if it is time for one."""
        now = self._clock()
        fresh = self._assigned - self._announced
        if self._open is not None or not self._assigned or (now < self._next_proof and not fresh):
            return
        member = consumer.memberid()
        if not member:
            return  # on the way out or in again; a commit without a member's name would prove nothing
        self._next_proof = now + self._terms.session_seconds / _PROOFS_PER_SESSION
        self._open, self._open_counts = _Proof(now, member, frozenset(self._assigned)), True
        place = TopicPartition(self._terms.topic, min(self._assigned), 0)
        try:
            consumer.commit(offsets=[place], asynchronous=True)
        except KafkaException as error:
            self._open = None
            self._owner.troubled(_reason(error, self._terms.topic))

    def _on_commit(self, error: KafkaError | None, places: list[TopicPartition]) -> None:
        proof, self._open = self._open, None
        if proof is None:
            return
        failure = error or next((place.error for place in places if place.error is not None), None)
        if failure is not None:
            logger.info("the proof of ownership was refused: %s", failure.name())
            self._next_proof = self._clock() + min(_RETRY_SECONDS, self._terms.session_seconds / 10)
            if failure.code() in _NOT_A_MEMBER:
                self._owner.doubted(proof.slots)
            return
        # After a rebalance the commit may have been that of another membership of ours, or of none at all: an empty
        # group takes commits from anybody.
        if not self._open_counts or self._consumer is None or self._consumer.memberid() != proof.member:
            self._next_proof = float("-inf")
            return
        self._owner.troubled(None)
        fresh = frozenset(self._assigned - self._announced) & proof.slots
        self._announced |= fresh
        self._owner.proved(proof.slots - fresh, proof.begun)
        if fresh:
            self._owner.acquired(fresh, proof.begun)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._open_counts = False
        topic = self._terms.topic
        consumer.incremental_assign([TopicPartition(topic, place.partition, 0) for place in partitions])
        # There is nothing to read, so nothing has to be asked for.
        consumer.pause(partitions)
        self._assigned |= _slots(partitions)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._open_counts = False
        slots = _slots(partitions)
        announced = slots & self._announced
        if announced:
            self._owner.release(announced, self._terms.release_seconds)
        self._assigned -= slots
        self._announced -= slots
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._open_counts = False
        self._forget()
        consumer.incremental_unassign(partitions)

    def _forget(self) -> None:
        lost = frozenset(self._announced)
        self._assigned.clear()
        self._announced.clear()
        if lost:
            self._owner.dropped(lost)

    def _is_stuck(self) -> bool:
        patience = _LOST_ANSWER_SESSIONS * self._terms.session_seconds
        return self._open is not None and self._clock() - self._open.begun > patience

    def _config(self) -> dict[str, Any]:
        session = self._terms.session_seconds
        poll = max(_MIN_POLL_INTERVAL_SECONDS, session)
        return {
            **client_config(self._settings),
            "group.id": self._terms.group,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": int(session * 1000),
            "heartbeat.interval.ms": int(min(_HEARTBEAT_SECONDS, session / 4) * 1000),
            "max.poll.interval.ms": int(poll * 1000),
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "latest",
            "on_commit": self._on_commit,
            "error_cb": lambda error: None,
        }


def _slots(partitions: Iterable[TopicPartition]) -> frozenset[int]:
    return frozenset(place.partition for place in partitions)


def _ends_life(error: KafkaError) -> bool:
    return error.fatal() or error.code() in {
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
    }


def _reason(error: KafkaException, topic: str) -> str:
    first = next(iter(error.args), None)
    code = first.code() if isinstance(first, KafkaError) else None
    if code in {KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART}:
        return f"The topic {topic} does not exist: create it with eventbus init"
    if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        return f"The gateway may not read the topic {topic}"
    if code == KafkaError.GROUP_AUTHORIZATION_FAILED:
        return (
            "The gateway may not join the group that shares the slots: grant it READ and DESCRIBE on its groups "
            "(with IAM kafka-cluster:AlterGroup and kafka-cluster:DescribeGroup)"
        )
    return f"The slots of {topic} cannot be shared: {first.name() if isinstance(first, KafkaError) else 'unknown'}"
