"""All subscriptions, as every replica has them: a typed view over their table."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

from eventbus_gateway.errors import (
    Fault,
    InvalidSubscription,
    KafkaUnavailable,
    OwnerUnavailable,
    TooManySubscriptions,
)
from eventbus_gateway.kafka.follower import Pace
from eventbus_gateway.kafka.records import RecordSink
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.kafka.table import ABSENT, Table
from eventbus_gateway.kafka.table_limits import TableLimits
from eventbus_gateway.kafka.view import Change, Entry
from eventbus_gateway.subscriptions.needed_topics import internal_names
from eventbus_gateway.subscriptions.resource import Subscription, from_bytes, to_bytes
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.subscriptions.vault import NoVault, Vault

_logger = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0
_NAMES_PER_SUBSCRIPTION = 10


class Kept(NamedTuple):
    """A subscription as it is stored.

    Args:
        subscription: the subscription.
        version: changes with every write and never comes back for this name.
    """

    subscription: Subscription
    version: int


Listener = Callable[[Subscription | None, Subscription | None], None]
"""Told what a subscription was before and what it is now, None where there was or is none."""


class SubscriptionStore:
    """What the table holds, by owner and name and by id.

    An entry that cannot be understood was written by a newer version of the gateway. It is nothing that this replica
    could serve, so whoever watches sees it go; in Kafka it stays as it is.

    Args:
        table: the table; started and closed by whoever made it.
        settings: bounds.
        vault: seals secrets.
    """

    def __init__(self, table: Table, settings: SubscriptionSettings, vault: Vault | None = None) -> None:
        self._table = table
        self._vault = vault or NoVault()
        self._settings = settings
        self._kept: dict[str, Kept] = {}
        self._keys: dict[str, str] = {}
        self._foreign: set[str] = set()
        self._listeners: list[Listener] = []
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        for entry in table.items():
            self._take(Change(entry.key, None, entry))
        table.on_change(self._take)

    def on_change(self, listener: Listener) -> None:
        """Tell somebody about every change from now on, in the order in which they were stored.

        Args:
            listener: called on the loop, when the store shows the change already; must not block.
        """
        self._listeners.append(listener)

    def get(self, owner: str, name: str) -> Kept | None:
        """A subscription by its owner's name for it.

        Raises:
            KafkaUnavailable: the table has not been read yet.
            OwnerUnavailable: it is there, but this replica does not understand it.
        """
        self.require_ready()
        key = _key(owner, name)
        if key in self._foreign:
            sentence = "A newer version of the gateway wrote the subscription; this replica cannot serve it."
            raise OwnerUnavailable(sentence, retry_after=_RETRY_SECONDS)
        return self._kept.get(key)

    async def found(self, owner: str, name: str, seconds: float) -> Kept | None:
        """The same, but one that is not there is waited for: another replica may have stored it this moment.

        Args:
            owner: name of its principal.
            name: its name.
            seconds: how long at the most.
        """
        found = self.get(owner, name)
        if found is not None:
            return found
        key = _key(owner, name)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, set()).add(waiter)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await waiter
        finally:
            self._waiting[key].discard(waiter)
            if not self._waiting[key]:
                del self._waiting[key]
        return self.get(owner, name)

    def by_id(self, subscription_id: str) -> Kept | None:
        """A subscription by its id."""
        key = self._keys.get(subscription_id)
        return None if key is None else self._kept.get(key)

    def of_owner(self, owner: str) -> list[Kept]:
        """An owner's subscriptions by name.

        Raises:
            KafkaUnavailable: the table has not been read yet.
        """
        self.require_ready()
        mine = [kept for kept in self._kept.values() if kept.subscription.owner == owner]
        return sorted(mine, key=lambda kept: kept.subscription.name)

    def all(self) -> Iterator[Subscription]:
        """All subscriptions that this replica understands; not to be kept over an ``await``."""
        return (kept.subscription for kept in self._kept.values())

    def check(self, subscription: Subscription, if_version: int) -> None:
        """Refuse what could not be stored, before anything is done for it.

        Replicas that create at the same time can each exceed the numbers by one.

        Args:
            subscription: what shall be stored.
            if_version: the version that it replaces, ``ABSENT`` for a new one.

        Raises:
            KafkaUnavailable: the table has not been read yet.
            TooManySubscriptions: as many as there may be.
            InvalidSubscription: it is too large.
        """
        self.require_ready()
        most = self._settings.max_subscription_bytes
        if len(to_bytes(subscription, self._vault)) > most:
            raise InvalidSubscription("The subscription is too large.", [Fault("", f"expected at most {most} bytes")])
        if if_version == ABSENT:
            self._require_room(subscription.owner)

    async def put(self, subscription: Subscription, if_version: int) -> Kept:
        """Store a subscription and wait until this store shows it.

        Args:
            subscription: what shall be stored.
            if_version: the version that it replaces, ``ABSENT`` for a new one.

        Raises:
            PreconditionFailed: there is another version, or somebody else was faster.
            TooManySubscriptions: as many as there may be.
            InvalidSubscription: it is too large.
            Unavailable: nothing was stored.
            OutcomeUnknown: it may be, or become, stored.
        """
        self.check(subscription, if_version)
        key = _key(subscription.owner, subscription.name)
        entry = await self._table.put(key, to_bytes(subscription, self._vault), if_version=if_version)
        return Kept(subscription, entry.version)

    async def delete(self, owner: str, name: str, if_version: int) -> None:
        """Delete a subscription and wait until this store shows it.

        Args:
            owner: name of its principal.
            name: its name.
            if_version: the version that is deleted.

        Raises:
            PreconditionFailed, Unavailable, OutcomeUnknown: as for :meth:`put`.
        """
        self.require_ready()
        await self._table.delete(_key(owner, name), if_version=if_version)

    def require_ready(self) -> None:
        """Refuse to say anything before everything is known.

        Raises:
            KafkaUnavailable: the table has not been read yet.
        """
        if not self._table.is_ready:
            reason = self._table.trouble or "The subscriptions have not been read yet"
            raise KafkaUnavailable(reason, retry_after=1.0)

    def _require_room(self, owner: str) -> None:
        # What a newer version has written counts too.
        settings = self._settings
        if len(self._kept) + len(self._foreign) >= settings.max_subscriptions:
            raise TooManySubscriptions
        mine = [key for key in (*self._kept, *self._foreign) if key.startswith(_key(owner, ""))]
        if len(mine) >= settings.max_subscriptions_per_owner:
            most = settings.max_subscriptions_per_owner
            raise TooManySubscriptions(f"A principal may have {most} subscriptions.")

    def _take(self, change: Change) -> None:
        key = change.key
        before, after = self._kept.pop(key, None), self._understood(change.after)
        if before is not None:
            del self._keys[before.subscription.id]
        if after is not None:
            self._kept[key] = after
            self._keys[after.subscription.id] = key
        self._note_foreign(key, change.after is not None and after is None)
        for waiter in self._waiting.get(key, ()):
            if not waiter.done():
                waiter.set_result(None)
        if before is None and after is None:
            return
        was, is_now = (None if kept is None else kept.subscription for kept in (before, after))
        for listener in self._listeners:
            try:
                listener(was, is_now)
            # One listener's mistake must keep neither the others nor the store from going on.
            except Exception:
                _logger.exception("a listener of the subscriptions failed")

    def _note_foreign(self, key: str, is_foreign: bool) -> None:
        if not is_foreign:
            self._foreign.discard(key)
        elif key not in self._foreign:
            self._foreign.add(key)
            _logger.warning("the stored subscription %s is not understood: is a newer version running?", key)

    def _understood(self, entry: Entry | None) -> Kept | None:
        subscription = None if entry is None else from_bytes(entry.value, self._vault)
        if entry is None or subscription is None:
            return None
        # What is not stored under its own name is nobody's.
        is_own = _key(subscription.owner, subscription.name) == entry.key
        return Kept(subscription, entry.version) if is_own else None


def subscription_table(
    settings: SubscriptionSettings, kafka: KafkaSettings, sink: RecordSink, pace: Pace | None = None
) -> Table:
    """The table that all subscriptions are in; whoever makes it starts and closes it.

    Args:
        settings: bounds and names.
        kafka: how to reach Kafka.
        sink: where writes go.
        pace: how often it is looked at.
    """
    # The store looks after the number; the table also bounds how many names were deleted in the last days.
    limits = TableLimits(
        _NAMES_PER_SUBSCRIPTION * settings.max_subscriptions,
        settings.max_subscriptions * settings.max_subscription_bytes,
        settings.max_subscription_bytes,
    )
    return Table(kafka, internal_names(settings).subscriptions, sink, limits, pace=pace)


def _key(owner: str, name: str) -> str:
    # No name of a subscription has a slash, so that the last one ends the owner.
    return f"{owner}/{name}"
