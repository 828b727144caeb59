"""locust at work: a profile of users against a gateway, in a process of its own, for a limited time."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from loadtests.traffic import Summary

ROOT = Path(__file__).parent.parent
PROFILES = {
    "single": ("SingleProducer",),
    "batch": ("BatchProducer",),
    "pull": ("SingleProducer", "BatchProducer", "PullConsumer"),
    "webhook": ("SingleProducer", "BatchProducer", "WebhookSubscriber", "WebhookBatchSubscriber"),
    "mixed": ("SingleProducer", "BatchProducer", "PullConsumer", "WebhookSubscriber", "WebhookBatchSubscriber"),
}
# Beside the time of the run and of settling: start, subscriptions, the end.
_LATE_SECONDS = 60.0
# Events that were published as fast as possible take longer to be consumed.
_BEHIND = 4
_STOP_SECONDS = 10


class Plan(NamedTuple):
    """What to run.

    Args:
        url: the gateway.
        receiver: where the receiver of webhooks is asked.
        profile: one of ``PROFILES``.
        seconds: how long events are published.
        users: of all classes together.
        rate: publishes per second and producer; 0 for as many as are answered.
        topic: where to.
        settle_seconds: without an event, until those that are missing are lost.
        hook_url: where the gateway reaches the receiver; None for where it is asked.
    """

    url: str
    receiver: str
    profile: str = "mixed"
    seconds: int = 30
    users: int = 16
    rate: float = 20.0
    topic: str = "visits"
    settle_seconds: float = 30.0
    hook_url: str | None = None


class Broken(Exception):
    """locust itself did not work: it says nothing about the gateway."""


def command(plan: Plan, report: Path) -> list[str]:
    """The command line of a run that writes its report to a file."""
    settings = {
        "--host": plan.url,
        "--users": plan.users,
        "--spawn-rate": plan.users,
        "--run-time": f"{plan.seconds}s",
        "--stop-timeout": _STOP_SECONDS,
        "--loglevel": "WARNING",
        "--topic": plan.topic,
        "--rate": plan.rate,
        "--receiver": plan.receiver,
        "--hook-url": plan.hook_url or plan.receiver,
        "--settle": plan.settle_seconds,
        "--report": report,
        # In place of locust's own tables, which say the same in other words.
        "--json-file": report.with_suffix(".locust"),
    }
    given = [text for name, value in settings.items() for text in (name, str(value))]
    locust = [sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("locustfile.py"))]
    return [*locust, "--headless", "--only-summary", *given, *PROFILES[plan.profile]]


def swarm(plan: Plan, report: Path) -> Summary:
    """Carry a plan out.

    Args:
        plan: what to run.
        report: file for its figures.

    Raises:
        Broken: it did not begin, or did not end in time.
    """
    limit = plan.seconds * _BEHIND + plan.settle_seconds + _LATE_SECONDS
    report.unlink(missing_ok=True)
    try:
        done = subprocess.run(command(plan, report), cwd=ROOT, stdin=subprocess.DEVNULL, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        raise Broken(f"the load test was not over after {limit:g} s") from None
    if not report.exists():
        raise Broken(f"the load test ended with {done.returncode} and without figures")
    summary = Summary.of_json(report.read_text())
    if (done.returncode != 0) is not bool(summary.faults):
        raise Broken(f"the load test ended with {done.returncode}, and its figures say {summary.faults}")
    return summary
