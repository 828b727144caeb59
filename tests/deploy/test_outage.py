"""Kafka is away: every pod stays ready and alive, callers are told, all of it heals by itself, and the alert fires.

``make chaos`` makes the outage a minute long and keeps what was recorded of it.
"""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from tests.broker import Broker
from tests.deploy.chart import FOLDER
from tests.deploy.recording import Key, Played, Recording, scrape
from tests.end_to_end.process import PATIENCE
from tests.end_to_end.subscriptions.replicas import Replicas
from tests.end_to_end.subscriptions.subscribing import Subscribed, subscribed
from tests.end_to_end.webhooks.pushing import WEBHOOKS, caught_up, pushed
from tests.end_to_end.webhooks.receivers import Hook, Receiver
from tests.rolling.cluster import Deployment, Failure, passed, until
from tests.rolling.load import Load
from tests.rolling.timings import of_chart

pytestmark = pytest.mark.broker

MINUTE = 60.0
SECONDS = float(os.environ.get("EVENTBUS_OUTAGE_SECONDS", "5"))
KEEP = os.environ.get("EVENTBUS_OUTAGE_RECORDING")
KEPT = Path(__file__).parent / "outage.yaml"
ALERTS = FOLDER / "files" / "alerts.yaml"
SCRAPES = 4
"""In a minute: so many fall into the outage, however short it is."""
BEFORE, AFTER = 3, 4
AT_ONCE = 5.0
"""Seconds for a refusal that waits for nothing, on a machine that stalls."""


class Outage(NamedTuple):
    """What was seen.

    Args:
        failures: requests that were not answered with a success.
        removals: how often a pod was not ready.
        restarts: how often one was not alive.
        recording: what the pods showed.
    """

    failures: list[Failure]
    removals: int
    restarts: int
    recording: Recording


async def outage_of(company: Replicas, receiver: Receiver) -> Outage:
    """Kafka goes away under load and comes back; nothing is lost."""
    hook, scrapes = receiver.hook(), list[list[dict[Key, float]]]()
    pods = company.running

    async def steps(number: int) -> None:
        for _ in range(number):
            await passed(SECONDS / SCRAPES)
            scrapes.append(await asyncio.to_thread(scrape, pods))

    def up() -> set[float]:
        return {pod.metric("eventbus_kafka_up") for pod in pods}

    async with subscribed(company, delivery={"type": "pull", "order": "key"}) as pull, pushed(company, hook) as push:
        deployment = Deployment(company, of_chart().scaled(SECONDS / MINUTE))
        async with deployment.running():
            load = Load(deployment.service, pull, push, patience=PATIENCE + SECONDS)
            with contextlib.closing(load):
                async with load.running():
                    await load.more_acked(100)
                    await steps(BEFORE)
                    company.broker.kill()
                    try:
                        await until(lambda: up() == {0.0}, "the gateways to see that Kafka is away")
                        down = len(scrapes)
                        await steps(SCRAPES)
                        await until(lambda: len(load.failures) > 20, "callers to be refused")
                    finally:
                        await asyncio.to_thread(company.broker.restart)
                    await until(lambda: up() == {1.0}, "the gateways to find Kafka again")
                    await load.more_acked(100)
                    await steps(AFTER)
                await _nothing_is_lost(load, pull, push, hook)
        names = "ab"[: len(pods)]
        recording = Recording(
            {name: [each[at] for each in scrapes] for at, name in enumerate(names)}, down, down + SCRAPES
        )
        removals, restarts = (
            sum(pod.removals for pod in deployment.pods),
            sum(pod.restarts for pod in deployment.pods),
        )
        assert len(deployment.service) == len(pods)
    return Outage(load.failures, removals, restarts, recording)


async def _nothing_is_lost(load: Load, pull: Subscribed, push: Subscribed, hook: Hook) -> None:
    """Everything that was acknowledged came, and nothing else but what nobody knows of."""
    await hook.until(lambda: set(push.published) <= set(hook.ids()), "everything to be pushed")
    await caught_up(push)
    assert set(hook.ids()) <= set(push.published) | load.unknown
    assert load.books.deliveries.keys() <= set(pull.published) | load.unknown
    hook.check_order()
    hook.check_messages()
    load.books.check_order()


@pytest.fixture(scope="module")
def outage() -> Iterator[Outage]:
    """Two replicas in front of a broker that is killed; what is asked of a session is shorter than the outage."""
    config = {"group.min.session.timeout.ms": "500"}
    tables = {"webhooks": WEBHOOKS, "consume": {"positions_timeout_seconds": 2}}
    with (
        Broker(config) as broker,
        Replicas(broker, 2, session=min(10.0, SECONDS * 0.8), **tables) as company,
        Receiver() as receiver,
    ):
        found = asyncio.run(outage_of(company, receiver))
        if KEEP is not None:
            found.recording.write(Path(KEEP))
        yield found


def test_pods_stay_ready_and_alive_while_kafka_is_away(outage: Outage) -> None:
    assert (outage.removals, outage.restarts) == (0, 0)


def test_callers_are_told_at_once_that_kafka_is_away_and_when_to_come_back(outage: Outage) -> None:
    assert {(failure.status, failure.how) for failure in outage.failures} <= {
        (503, "kafka_unavailable"),
        (503, "owner_unavailable"),
        (504, "outcome_unknown"),
    }
    refused = [failure for failure in outage.failures if failure.status == 503]
    assert all(failure.retry_after is not None and int(failure.retry_after) >= 1 for failure in refused)
    publishes = [failure for failure in refused if failure.what == "POST events"]
    assert len(publishes) > 10
    assert max(failure.seconds for failure in publishes) < AT_ONCE


def _plays(promtool: Path, played: Played, folder: Path) -> None:
    file = folder / "outage.yaml"
    file.write_text(yaml.safe_dump(played.promtool_test(ALERTS, "EventBusKafkaUnreachable")))
    done = subprocess.run(
        [str(promtool), "test", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alert_fires_on_what_was_just_recorded(outage: Outage, promtool: Path, tmp_path: Path) -> None:
    about = outage.recording
    _plays(promtool, Played(about.down, about.up, about.series()), tmp_path)


def test_the_alert_fires_on_what_was_recorded_of_a_whole_minute(promtool: Path, tmp_path: Path) -> None:
    played = Played.read(KEPT)
    assert played.up - played.down == SCRAPES
    _plays(promtool, played, tmp_path)
