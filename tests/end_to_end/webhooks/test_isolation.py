"""Receivers that are down, slow or talkative take nothing from those that are well.

What is compared are times in which this machine has little to do: each healthy receiver takes about a tenth of a
second for an event and gets one at a time, so that how fast it gets them depends on how soon the gateway goes on and
hardly on how much of a processor is left. A gateway that let one receiver wait for another would be far slower.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import pytest
from tests.broker import free_port
from tests.end_to_end.process import GatewayProcess
from tests.end_to_end.subscriptions.replicas import Replicas
from tests.end_to_end.subscriptions.subscribing import Subscribed
from tests.end_to_end.webhooks.manners import Reply, always
from tests.end_to_end.webhooks.pushing import pushed, to
from tests.end_to_end.webhooks.receivers import HOST, Hook, Receiver

pytestmark = pytest.mark.broker

HEALTHY = 50
EVENTS = 8
"""Of one round."""
ROUNDS = 3
"""Without the bad ones and with them, in turns; the best of each are compared, as what disturbs only makes slower."""
SERVICE_SECONDS = 0.08, 0.12
"""The shortest and the longest; with the same for all, all would want the gateway at the same moment."""
LATER = 0.01
"""Seconds that the gateway may take longer from an answer to the next request: a tenth of the service."""
SLOW_SECONDS = 20.0
MUCH = b"x" * 10_000_000
MAX_MIB = 64.0
"""Far less than the answers of one round have, far more than the gateway's memory moves by itself."""


class Round(NamedTuple):
    """How the healthy receivers fared.

    Args:
        seconds: from the first request to the last answer, the median of them.
        gap: seconds from an answer to the next request, the median of them.
    """

    seconds: float
    gap: float


class Ward:
    """Subscriptions to one topic that are served by one process.

    Args:
        one: the first of them.
        hooks: the healthy receivers.
    """

    def __init__(self, one: Subscribed, hooks: list[Hook]) -> None:
        self.one = one
        self.hooks = hooks
        self.bad: list[str] = []

    @property
    def gateway(self) -> GatewayProcess:
        [gateway] = self.one.replicas.running
        return gateway

    async def add(self, name: str, delivery: dict[str, Any]) -> None:
        """Subscribe once more."""
        spec = {"topics": [self.one.topic], "delivery": delivery}
        await self.one.caller.ok("PUT", f"/subscriptions/{self.one.name}-{name}", spec)

    async def add_bad(self, name: str, delivery: dict[str, Any]) -> None:
        """Subscribe a receiver that spoils nothing yet."""
        await self.add(name, delivery)
        self.bad.append(name)

    async def tell_bad(self, what: str) -> None:
        """Pause or resume the bad ones."""
        for name in self.bad:
            await self.one.caller.ok("POST", f"/subscriptions/{self.one.name}-{name}/{what}")

    async def endpoint(self, name: str) -> Any:
        """What the gateway says about a receiver."""
        status = await self.one.caller.ok("GET", f"/subscriptions/{self.one.name}-{name}/status")
        return status["shards"][0].get("endpoint")

    async def round(self) -> Round:
        """Publish, and see when the healthy ones have it all."""
        before = [len(hook.answers) for hook in self.hooks]
        await self.one.publish(EVENTS)
        for hook in self.hooks:
            await hook.until_taken(len(self.one.published))
        seconds, gaps = [], []
        for hook, start in zip(self.hooks, before, strict=True):
            answers = hook.answers[start:]
            seconds.append(answers[-1][0] - answers[0][1].at)
            gaps += [arrival.at - answered for (answered, _), (_, arrival) in pairwise(answers)]
        return Round(median(seconds), median(gaps))


@contextlib.asynccontextmanager
async def ward(replicas: Replicas, receiver: Receiver) -> AsyncIterator[Ward]:
    """Fifty healthy subscriptions."""
    first, last = SERVICE_SECONDS
    step = (last - first) / HEALTHY
    hooks = [receiver.hook(always(Reply(after=first + number * step))) for number in range(HEALTHY)]
    in_turn = {"order": "partition"}
    async with pushed(replicas, hooks[0], delivery=in_turn, partitions=1, parallelism=1) as one:
        found = Ward(one, hooks)
        for number, hook in enumerate(hooks[1:]):
            await found.add(f"well-{number}", to(hook.url, **in_turn))
        yield found


async def add_bad_ones(found: Ward, receiver: Receiver) -> dict[str, Hook]:
    """Four more subscriptions, none of them to a receiver as it should be."""
    slow = receiver.hook(always(Reply(after=SLOW_SECONDS)))
    talkative = receiver.hook(always(Reply(body=MUCH)))
    resetting = receiver.hook(always(Reply(end="reset")))
    await found.add_bad("dead", to(f"http://{HOST}:{free_port()}/"))
    await found.add_bad("slow", to(slow.url, timeoutSeconds=30))
    await found.add_bad("talkative", to(talkative.url))
    await found.add_bad("resetting", to(resetting.url))
    return {"slow": slow, "talkative": talkative, "resetting": resetting}


def test_dead_slow_and_talkative_receivers_take_nothing_from_fifty_healthy_ones(
    company: Replicas, receiver: Receiver
) -> None:
    async def scenario() -> None:
        async with ward(company, receiver) as found:
            bad = await add_bad_ones(found, receiver)
            await found.tell_bad("pause")
            await found.round()
            memory = found.gateway.rss_mib()

            alone, beside = [], []
            for _ in range(ROUNDS):
                await found.tell_bad("pause")
                alone.append(await found.round())
                await found.tell_bad("resume")
                beside.append(await found.round())

            least = EVENTS * sum(SERVICE_SECONDS) / 2
            assert min(each.seconds for each in alone) < 1.5 * least, "the gateway has time left"
            assert min(each.seconds for each in beside) < 1.1 * min(each.seconds for each in alone)
            assert min(each.gap for each in beside) < min(each.gap for each in alone) + LATER
            assert found.gateway.rss_mib() - memory < MAX_MIB
            for hook in found.hooks:
                assert hook.ids() == found.one.published, "each once, and in order"

            await bad["talkative"].until_taken(len(found.one.published))
            assert (await found.endpoint("dead"))["lastError"] == "connect"
            assert (await found.endpoint("slow"))["inFlight"] >= 1
            assert (await found.endpoint("resetting"))["lastError"] == "broken"
            assert not bad["slow"].taken()

    company.restore(1)
    asyncio.run(scenario())
