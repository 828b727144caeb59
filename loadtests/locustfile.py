"""Users for locust: who publishes, who pulls, whom the gateway pushes to; and whether all of it was as promised.

Run it from the root of the repository, ``python -m locust -f loadtests/locustfile.py --host http://…``; the classes
that are named on the command line are the profile. ``make load`` and ``make soak`` do so (``loadtests.swarm``).

locust has gevent replace the sockets, threads and sleeping of its process, so nothing else of this project imports
this module. The books are those of one process: locust's workers would each see a part.
"""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID, uuid4

from locust import FastHttpUser, events, task
from locust.argument_parser import LocustArgumentParser
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment
from locust.event import EventHook

from loadtests.books import Books, Outcome, Subscriber
from loadtests.events import events as samples
from loadtests.traffic import Summary, Traffic, summary_text

_SAMPLES = 256
# Of each producer: with few, the order of keys would be what bounds consumers.
_KEYS = 50
_JSON = {"content-type": "application/json"}
_BATCH = {"content-type": "application/cloudevents-batch+json"}
_LOOK_SECONDS = 0.1
_SETTLE_LOOK_SECONDS = 0.25
_SERVED_SECONDS = 30.0
_FAILED = 1
_NOT_BEGUN = 2


class Run:
    """What all users of a run share.

    Args:
        environment: locust's.
    """

    def __init__(self, environment: Environment) -> None:
        options = _given(environment)
        self.environment = environment
        self.topic: str = options.topic
        self.receiver: str = options.receiver
        self.hook_url: str = options.hook_url or options.receiver
        self.rate: float = options.rate
        self.batch: int = options.batch
        self.settle_seconds: float = options.settle
        self.prefix = f"load-{uuid4().hex[:8]}"
        self.books = Books()
        self.data = [json.loads(event) for event in samples(_SAMPLES)]
        self.traffic = Traffic(time.monotonic)
        self.closing = False
        self.publishing = 0
        self.subscriptions: list[str] = []
        self._quiet = _session(str(environment.host))

    def subscribe(self, name: str, delivery: dict[str, Any]) -> dict[str, Any]:
        """Make a subscription that begins now, and wait until somebody serves it.

        Raises:
            RuntimeError: the gateway refuses it, or nobody does.
        """
        about = json.dumps({"topics": [self.topic], "start": "latest", "delivery": delivery})
        path, deadline = f"/v1/subscriptions/{name}", time.monotonic() + _SERVED_SECONDS
        made = self._answered(lambda: self._quiet.put(path, data=about, headers=_JSON), deadline)
        self.subscriptions.append(name)
        self._answered(lambda: self._quiet.get(f"{path}/status"), deadline)
        document: dict[str, Any] = made.json()
        return document

    def _answered(self, ask: Callable[[], Any], deadline: float) -> Any:
        """Ask until there is a success: a gateway that has just begun may own nothing yet, and says so with 503."""
        while (answer := ask()).status_code not in {200, 201}:
            if answer.status_code not in {0, 503} or time.monotonic() > deadline:
                raise RuntimeError(f"a subscription cannot be made: {answer.status_code} {answer.text}")
            time.sleep(_LOOK_SECONDS)
        return answer

    def end(self) -> None:
        """Delete what was made."""
        for name in self.subscriptions:
            self._quiet.delete(f"/v1/subscriptions/{name}")

    def came(self, subscriber: Subscriber, event: str, at: float) -> None:
        """Note an event and how long it was on its way."""
        took = subscriber.take(event, at)
        if took is not None:
            hook: Any = self.environment.events.request
            way = f"publish to {subscriber.name}"
            hook.fire(request_type="EVENT", name=way, response_time=took * 1_000, response_length=0, exception=None)

    def settle(self) -> None:
        """Wait until nobody publishes any more and everything has come, or nothing comes any more."""
        self.closing = True
        self.traffic.close()
        came, deadline = -1, 0.0
        while self.publishing or not self.books.is_settled:
            now, before = time.monotonic(), came
            came = sum(len(subscriber.came) for subscriber in self.books.subscribers.values())
            if came > before:
                deadline = now + self.settle_seconds
            elif now > deadline:
                break
            time.sleep(_SETTLE_LOOK_SECONDS)


class Caller(FastHttpUser):
    """Whoever calls the gateway."""

    abstract = True
    network_timeout = 60.0
    shared: ClassVar[Run]
    """The present one; set before any user is made."""

    @classmethod
    def begin(cls, run: Run) -> None:
        """What has to be there before the first of these users."""


class Producer(Caller):
    """Publishes, and waits for each answer: so many times a second, or as fast as it gets answers for 0."""

    abstract = True

    def on_start(self) -> None:
        self._mark = uuid4().hex[:8]
        self._number = 0
        self._due = time.monotonic()
        self._keys = [str(UUID(int=uuid4().int, version=4)) for _ in range(_KEYS)]

    def wait_time(self) -> float:
        """Seconds until the next publish; one that is late is not made up for."""
        if not self.shared.rate:
            return 0.0
        self._due = max(self._due + 1 / self.shared.rate, time.monotonic())
        return self._due - time.monotonic()

    def _event(self) -> tuple[str, dict[str, Any]]:
        run, number = self.shared, self._number
        self._number += 1
        event, key = f"{self._mark}-{number}", self._keys[number % _KEYS]
        run.books.publishing(event, key, time.time())
        return event, {**run.data[number % _SAMPLES], "visitId": key}

    def _publish(self, ids: list[str], body: str, headers: dict[str, str], name: str) -> None:
        run = self.shared
        run.publishing += 1
        path = f"/v1/topics/{run.topic}/events"
        try:
            with self.client.post(path, data=body, headers=headers, name=name, catch_response=True) as answer:
                told = _outcomes(ids, answer.status_code, answer.json if answer.status_code else dict)
                for event, outcome in told.items():
                    run.books.answered(event, outcome)
                if list(told.values()) != ["stored"] * len(ids):
                    answer.failure(f"{answer.status_code}: {answer.text}")
        finally:
            run.publishing -= 1


class SingleProducer(Producer):
    """One event per request."""

    weight = 4

    @task
    def publish(self) -> None:
        if self.shared.closing:
            time.sleep(_LOOK_SECONDS)
            return
        event, data = self._event()
        self._publish([event], json.dumps(data), {**_JSON, "ce-id": event}, "publish one")


class BatchProducer(Producer):
    """Several events per request."""

    weight = 1

    @task
    def publish(self) -> None:
        if self.shared.closing:
            time.sleep(_LOOK_SECONDS)
            return
        made = [self._event() for _ in range(self.shared.batch)]
        attributes = {"specversion": "1.0", "source": "/loadtests", "type": "visit"}
        body = [{**attributes, "id": event, "data": data} for event, data in made]
        self._publish([event for event, _ in made], json.dumps(body), _BATCH, "publish batch")


class PullConsumer(Caller):
    """Receives and acks; all of them share a durable subscription."""

    fixed_count = 4
    _ask = json.dumps({"maxEvents": 100, "waitSeconds": 2})

    @classmethod
    def begin(cls, run: Run) -> None:
        run.subscribe(f"{run.prefix}-pull", {"type": "pull", "order": "key"})
        run.books.subscriber("pull")

    @task
    def receive(self) -> None:
        path, run = f"/v1/subscriptions/{self.shared.prefix}-pull", self.shared
        answer = self.client.post(f"{path}/receive", data=self._ask, headers=_JSON, name="receive")
        if answer.status_code != 200:
            time.sleep(_LOOK_SECONDS)
            return
        at, given = time.time(), answer.json()["events"]
        for event in given:
            run.came(run.books.subscriber("pull"), event["id"], at)
        if given:
            tokens = json.dumps({"ackTokens": [event["ackToken"] for event in given]})
            with self.client.post(
                f"{path}/ack", data=tokens, headers=_JSON, name="ack", catch_response=True
            ) as acked:
                if acked.status_code != 200 or acked.json()["failed"]:
                    acked.failure(f"{acked.status_code}: {acked.text}")


class WebhookSubscriber(Caller):
    """Has its events pushed to the receiver, one per request, and asks that what came."""

    fixed_count = 1
    kind: ClassVar[str] = "webhook"
    delivery: ClassVar[dict[str, Any]] = {}

    @classmethod
    def begin(cls, run: Run) -> None:
        name = f"{run.prefix}-{cls.kind}"
        about = {"type": "webhook", "url": f"{run.hook_url}/hooks/{name}", "order": "key", **cls.delivery}
        secret = run.subscribe(name, about)["signingSecret"]
        told = _session(run.receiver).put(f"/books/{name}", data=json.dumps({"secret": secret}), headers=_JSON)
        if told.status_code != 204:
            raise RuntimeError(f"the receiver of webhooks at {run.receiver} does not answer")
        run.books.subscriber(cls.kind)

    def on_start(self) -> None:
        self._session = _session(self.shared.receiver)
        self._seen = 0

    @task
    def look(self) -> None:
        run, subscriber = self.shared, self.shared.books.subscriber(self.kind)
        answer = self._session.get(f"/books/{run.prefix}-{self.kind}?after={self._seen}")
        if answer.status_code == 200:
            about = answer.json()
            self._seen += len(about["arrivals"])
            subscriber.unsigned = about["unsigned"]
            for event, at in about["arrivals"]:
                run.came(subscriber, event, at)
        time.sleep(_LOOK_SECONDS)


class WebhookBatchSubscriber(WebhookSubscriber):
    """The same with many events per request."""

    kind = "webhook-batch"
    delivery: ClassVar[dict[str, Any]] = {"format": "batch", "batch": {"maxEvents": 100}}


def _session(url: str) -> FastHttpSession:
    """Calls that do not count: they are no load on the gateway, or not of what is measured."""
    hook: Callable[[], Any] = EventHook
    return FastHttpSession(url, hook(), None)


def _given(environment: Environment) -> Any:
    """What the command line says."""
    return environment.parsed_options


def _outcomes(ids: list[str], status: int, document: Callable[[], Any]) -> dict[str, Outcome]:
    """What became of each event; those of which nobody knows have none."""
    if status in {200, 201}:
        return dict.fromkeys(ids, "stored")
    if status == 207:
        return {result["id"]: result["outcome"] for result in document()["results"]}
    if status in {0, 504}:
        return {}
    return dict.fromkeys(ids, document().get("outcome", "not_stored"))


def _options(parser: LocustArgumentParser, **_: Any) -> None:
    group = parser.add_argument_group("event bus")
    group.add_argument("--topic", default="visits", help="where events are published; schema: loadtests/schemas")
    group.add_argument("--receiver", default="http://127.0.0.1:9000", help="where python -m loadtests.hooks is asked")
    group.add_argument("--hook-url", default="", help="where the gateway reaches it, if elsewhere")
    group.add_argument("--rate", type=float, default=0.0, help="publishes per second and producer; 0: no limit")
    group.add_argument("--batch", type=int, default=50, help="events in a batch")
    group.add_argument(
        "--settle", type=float, default=30.0, help="seconds without an event until those that are missing are lost"
    )
    group.add_argument("--report", default="", help="file for the figures as JSON")


def _begin(environment: Environment, **_: Any) -> None:
    Caller.shared = run = Run(environment)
    _listen(environment.events.request, run.traffic.note)
    try:
        for user_class in environment.user_classes:
            if issubclass(user_class, Caller):
                user_class.begin(run)
    except BaseException:
        # locust would log it and go on.
        environment.process_exit_code = _NOT_BEGUN
        if environment.runner is not None:
            threading.Thread(target=environment.runner.quit).start()
        raise


def _settle(environment: Environment, **_: Any) -> None:
    Caller.shared.settle()


def _end(environment: Environment, **_: Any) -> None:
    Caller.shared.end()


def _conclude(environment: Environment, **_: Any) -> None:
    if environment.process_exit_code == _NOT_BEGUN:
        return
    run = Caller.shared
    tasks_failed = len(environment.runner.exceptions) if environment.runner is not None else 0
    summary = Summary(
        run.books.verdict(), run.traffic.lines(), run.traffic.seconds, tasks_failed, tuple(run.traffic.errors)
    )
    print(summary_text(summary), flush=True)
    report = _given(environment).report
    if report:
        Path(report).write_text(summary.as_json())
    environment.process_exit_code = _FAILED if summary.faults else 0


def _listen(hook: Any, listener: Callable[..., None]) -> None:
    # locust's own registration has no types.
    hook.add_listener(listener)


_listen(events.init_command_line_parser, _options)
_listen(events.test_start, _begin)
_listen(events.test_stopping, _settle)
_listen(events.test_stop, _end)
_listen(events.quitting, _conclude)
