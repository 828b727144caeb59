"""Subscriptions whose events are pushed, and what Kafka knows of them meanwhile."""

import asyncio
import contextlib
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Collection, Mapping
from random import Random
from typing import Any

from tests.end_to_end.process import PATIENCE
from tests.end_to_end.subscriptions.consuming import pause
from tests.end_to_end.subscriptions.replicas import Done, Replicas
from tests.end_to_end.subscriptions.subscribing import Subscribed, subscribed
from tests.end_to_end.webhooks.manners import Place
from tests.end_to_end.webhooks.receivers import HOST, Hook
from tests.leaks import marked

WEBHOOKS: Mapping[str, Any] = {
    "secret_keys": marked(b64encode(Random("of these tests").randbytes(32)).decode(), "the key that seals secrets"),
    "allow_http": True,
    "allowed_ports": ["1-65535"],
    "allowed_networks": [f"{HOST}/32"],
}
"""Configuration of gateways that may call the receivers of these tests and nobody else here."""

SOON = {"firstBackoffSeconds": 0.1, "maxBackoffSeconds": 0.3, "maxAttempts": None}
"""What is tried again comes soon, and as long as it takes."""


def to(url: str, **fields: Any) -> dict[str, Any]:
    """A delivery to a URL."""
    return {"type": "webhook", "url": url, "retry": SOON, **fields}


@contextlib.asynccontextmanager
async def pushed(replicas: Replicas, hook: Hook, *, delivery: Any = None, **fields: Any) -> AsyncIterator[Subscribed]:
    """A new topic and a subscription whose events go to a hook.

    At the end of the block it is deleted, and whatever else has a name that begins with its own.

    Args:
        replicas: who serves it.
        hook: the receiver; knows the signing secret by the name ``first``.
        delivery: what it says more.
        fields: see ``subscribed``.
    """
    async with subscribed(replicas, delivery={**to(hook.url), **(delivery or {})}, **fields) as one:
        hook.trust("first", one.about["signingSecret"])
        yield one
        caller = one.caller_of(*replicas.running)
        mine = (await caller.ok("GET", "/subscriptions?limit=200"))["subscriptions"]
        for name in [each["name"] for each in mine if each["name"].startswith(one.name)]:
            await caller.ok("DELETE", f"/subscriptions/{name}")


async def caught_up(one: Subscribed) -> Any:
    """Wait until everything is committed as done; the status then."""
    caller = one.caller_of(*one.replicas.running)
    deadline = time.monotonic() + PATIENCE
    while (status := await caller.ok("GET", f"{one.path}/status"))["lag"] != 0:
        assert time.monotonic() < deadline, status
        await pause()
    return status


class Watch:
    """What was seen of the commits of a group while it was pushed.

    Args:
        one: the subscription.
        hook: its receiver.
    """

    def __init__(self, one: Subscribed, hook: Hook) -> None:
        self.looks = 0
        self.behind_gaps = 0
        """Events that were seen as done while an earlier one of their partition was not."""
        self._one = one
        self._hook = hook

    async def look(self) -> None:
        """Nothing may be committed as done of which the receiver has not said so before."""
        done = await asyncio.to_thread(self._one.replicas.done, self._one.group, self._one.topic)
        # Read after the commits: whatever was taken before one of them is in here.
        unsaid = places_of(done) - self._hook.taken().keys()
        assert not unsaid, f"committed without an answer: {sorted(unsaid)[:10]}"
        self.looks += 1
        self.behind_gaps += sum(end - start for each in done.values() for start, end in each.runs)


@contextlib.asynccontextmanager
async def watched(one: Subscribed, hook: Hook) -> AsyncIterator[Watch]:
    """Look at the commits of a subscription again and again until the end of the block; all its events are new."""
    watch, over = Watch(one, hook), asyncio.Event()

    async def look() -> None:
        while not over.is_set():
            await watch.look()
            await pause()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(look())
        yield watch
        over.set()


def places_of(done: Mapping[int, Done]) -> set[Place]:
    """Every place that is committed as done, of topics that have no gaps."""
    found: set[Place] = set()
    for partition, each in done.items():
        for start, end in [(0, each.below), *each.runs]:
            found |= {(partition, offset) for offset in range(start, end)}
    return found


def check_complete(hook: Hook, ids: Collection[str], *, single: bool = True) -> None:
    """All events were taken, and nothing else came; signed, and in order.

    Args:
        hook: the receiver.
        ids: what was published.
        single: whether each event comes in a request of its own.
    """
    assert set(hook.ids()) == set(ids)
    assert hook.deliveries().keys() == set(ids)
    unsigned = [arrival for arrival in hook.arrivals if arrival.signed_by != {"first"}]
    assert unsigned == []
    hook.check_order()
    hook.check_messages(single=single)
