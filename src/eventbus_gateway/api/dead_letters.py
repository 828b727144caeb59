"""``GET /v1/subscriptions/{name}/dead-letters``: the events that were given up and did not come back."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import orjson

from eventbus_gateway.api.cursor import positions_in, written
from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.own import Own
from eventbus_gateway.api.query import parameters
from eventbus_gateway.api.settings import ReadSettings
from eventbus_gateway.api.subscriptions import limit_in
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.errors import GatewayError, UnknownTopic
from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.kafka.reading import Ask, EventReader, Page
from eventbus_gateway.subscriptions.instants import timestamp
from eventbus_gateway.subscriptions.letters import opened
from eventbus_gateway.subscriptions.outgoing import Outgoing
from eventbus_gateway.subscriptions.places import DEAD_LETTER_PARTITION, Places, dead_letters_of
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.turns import Turn


class _Found(NamedTuple):
    """What was found so far.

    Args:
        letters: dead letters as JSON text.
        at: the next offset to look at.
        is_end: whether there is nothing behind.
    """

    letters: list[bytes]
    at: int
    is_end: bool


class DeadLetters:
    """Shows dead letters, the oldest first.

    Args:
        own: finds the caller's subscription.
        places: knows which of them came back.
        reader: reads their topics.
        outgoing_of: what makes events of a topic's records, by its name.
        settings: bounds.
    """

    def __init__(
        self,
        own: Own,
        places: Places,
        reader: EventReader,
        outgoing_of: Callable[[str], Outgoing],
        settings: ReadSettings,
    ) -> None:
        self._own = own
        self._places = places
        self._reader = reader
        self._outgoing_of = outgoing_of
        self._settings = settings

    async def __call__(self, request: Request) -> Answer:
        """A page of them.

        Raises:
            InvalidParameter, InvalidCursor: the query cannot be used.
            Forbidden: the caller may not read all of the topics any more.
            GatewayError: see ``Own.allowed``, ``EventReader.read`` and ``Places.committed``.
        """
        given = parameters(request.query, frozenset({"cursor", "limit"}))
        limit = limit_in(given, self._settings.default_limit, self._settings.max_limit)
        subscription = await self._own.allowed(request)
        topic, partition = dead_letters_of(subscription)
        asked = positions_in(given["cursor"], topic).get(partition, 0) if "cursor" in given else 0
        # A cursor says where to go on and nothing else: what came back stays hidden, whoever made the cursor up.
        start = max(asked, await self._first(subscription))
        found = await self._read(subscription, request.principal, start, limit)
        cursor = None if found.is_end else written(topic, {partition: found.at})
        body = b'{"deadLetters":[%s],"cursor":%s}' % (b",".join(found.letters), orjson.dumps(cursor))
        return Answer(200, body)

    async def _first(self, subscription: Subscription) -> int:
        """The first dead letter that nobody wanted to have back."""
        place = dead_letters_of(subscription)
        committed = await self._places.committed(subscription, [place])
        redrive = subscription.control.redrive
        redriven = 0 if redrive is None else redrive.end(DEAD_LETTER_PARTITION)
        return max(redriven, committed[place].offset if place in committed else 0)

    async def _read(self, subscription: Subscription, principal: Principal, start: int, limit: int) -> _Found:
        topic, partition = dead_letters_of(subscription)
        letters: list[bytes] = []
        at, room, scanned = start, self._settings.max_answer_bytes, 0
        while scanned < self._settings.max_scanned_records:
            try:
                page = await self._reader.read(Ask(topic, {partition: at}, 1, limit - len(letters), room, 0.0))
            except UnknownTopic:
                return _Found(letters, at, True)
            at = page.positions[partition]
            if not page.records:
                return _Found(letters, at, True)
            until = await self._take(page, subscription, principal, letters)
            if until is not None:
                return _Found(letters, until, False)
            scanned += len(page.records)
            room -= sum(len(record.value or b"") for record in page.records)
            if len(letters) >= limit or room <= 0:
                break
        return _Found(letters, at, False)

    async def _take(
        self, page: Page, subscription: Subscription, principal: Principal, letters: list[bytes]
    ) -> int | None:
        """Append what a page has.

        Returns:
            The offset of the first dead letter that cannot be shown now, None where all were looked at.

        Raises:
            RegistryUnavailable, Overloaded, ShuttingDown: not even the first can be shown.
        """
        turn = Turn()
        for record in page.records:
            try:
                letter = await self._shown(record, subscription, principal)
            except GatewayError:
                if not letters:
                    raise
                return record.offset
            if letter is not None:
                letters.append(letter)
            if turn.is_over_after(len(record.value or b"")):
                await asyncio.sleep(0)
        return None

    async def _shown(self, record: Consumed, subscription: Subscription, principal: Principal) -> bytes | None:
        """A dead letter as JSON text, None for one that is not to be shown."""
        letter = opened(record)
        # The topic may have another use beside: what the gateway did not put there for this subscription is hidden.
        if letter.subscription != subscription.full_name:
            return None
        # Of a topic that the subscription had once, which the caller need not be allowed to read any more.
        if not self._own.may_consume(principal, letter.event.topic):
            return None
        outgoing = self._outgoing_of(letter.event.topic)
        event = outgoing.event(letter.event) or await outgoing.complete(letter.event)
        return orjson.dumps(
            {
                "event": event,
                "cause": letter.cause,
                "reason": letter.reason,
                "deliveries": letter.deliveries,
                "deadLetteredAt": timestamp(letter.since),
            }
        )
