"""Two tenants, every route of the table, every name that the other one has: nothing is read, changed or given away.

The routes come from the table itself, so that a new one is tried without anybody thinking of it.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, NamedTuple

import httpx2
import pytest
from tests.broker import Broker
from tests.end_to_end.process import PATIENCE
from tests.end_to_end.subscriptions.replicas import Replicas

from eventbus_gateway.api.routes import Route
from eventbus_gateway.api.settings import TopicSettings
from eventbus_gateway.api.table import public_routes
from eventbus_gateway.api.topics import Topics
from eventbus_gateway.auth.policy import Policy
from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.schemas.absent import AbsentRegistry
from eventbus_gateway.schemas.cache import Schemas
from eventbus_gateway.schemas.settings import RegistrySettings

pytestmark = pytest.mark.broker

TENANTS = ("alpha", "bravo")
KEYS = {name: f"ebk_test_key-of-the-tenant-{name}" for name in TENANTS}
# Headers that no two answers have in common.
_OF_ITS_OWN = {"x-request-id", "date"}


def _nothing(*_: object) -> Any:
    raise NotImplementedError


def table() -> list[Route]:
    """All routes of the public port."""
    topics = Topics(MemoryKafka({}), {}, TopicSettings())
    schemas = Schemas(AbsentRegistry(), RegistrySettings())
    return public_routes(_nothing, _nothing, topics, schemas, Policy(None), None)


class Tenant(NamedTuple):
    """One tenant with what it has.

    Args:
        name: the principal.
        client: calls with its key.
        topic: its topic.
        events: what it has leased of its board.
        furnished: its state once it had all that.
    """

    name: str
    client: httpx2.Client
    topic: str
    events: list[Any]
    furnished: list[Any]

    @property
    def tokens(self) -> list[str]:
        return [event["ackToken"] for event in self.events]

    @property
    def private(self) -> list[str]:
        """What only this tenant may see: names that nobody else could have chosen, and what is in its events."""
        return [f"{self.name}-", f"test-{self.name}.", f"{self.name}.", *self.tokens]

    @property
    def board(self) -> str:
        return f"{self.name}-board"

    @property
    def subscriptions(self) -> list[str]:
        """By name; the last one has a name that the other tenant gives to one of its own."""
        return [self.board, f"{self.name}-hook", "same"]

    def state(self) -> list[Any]:
        """All that others could have changed."""
        found = [self.client.get(f"/v1/subscriptions/{name}") for name in self.subscriptions]
        listed = self.client.get("/v1/subscriptions").json()
        status = self.client.get(f"/v1/subscriptions/{self.board}/status").json()
        letters = self.client.get(f"/v1/subscriptions/{self.board}/dead-letters").json()
        counts = [shard["counts"] for shard in status["shards"]]
        places = [(each["end"], each["watermark"]) for shard in status["shards"] for each in shard["partitions"]]
        resources = [(each.status_code, each.json(), each.headers["etag"]) for each in found]
        return [resources, listed, counts, places, letters]


@pytest.fixture(scope="module")
def tenants(victim: Broker) -> Iterator[dict[str, Tenant]]:
    """Both of them on one process, each with two subscriptions, one event leased and one dead letter."""
    auth = {
        "mode": "api_keys",
        "api_keys": [
            {"principal": name, "sha256": hashlib.sha256(key.encode()).hexdigest()} for name, key in KEYS.items()
        ],
        "grants": [
            {"principal": name, "actions": ["publish", "read"], "topics": [f"test-{name}.*"]} for name in TENANTS
        ],
    }
    for name in TENANTS:
        victim.create_topic(f"test-{name}.events", 2)
    webhooks = {"secret_keys": base64.b64encode(bytes(range(32))).decode()}
    with Replicas(victim, 1, auth=auth, webhooks=webhooks) as replicas, ExitStack() as clients:
        found = {}
        for name in TENANTS:
            headers = {"authorization": f"Bearer {KEYS[name]}"}
            url = replicas.members[0].url
            client = httpx2.Client(base_url=url, timeout=PATIENCE, trust_env=False, headers=headers)
            found[name] = _furnished(name, clients.enter_context(client))
        yield found


def _furnished(name: str, client: httpx2.Client) -> Tenant:
    topic = f"test-{name}.events"
    board, hook, same = (f"/v1/subscriptions/{each}" for each in Tenant(name, client, topic, [], []).subscriptions)
    delivery = {"type": "webhook", "url": f"https://{name}-secret.example/hook", "signing": "none"}
    specs: dict[str, Any] = {
        board: {"topics": [topic], "filter": {"type": [f"{name}-secret"]}},
        hook: {"topics": [topic], "delivery": delivery},
        same: {"topics": [topic]},
    }
    for path, spec in specs.items():
        put = client.put(path, json=spec)
        assert put.status_code == 201, put.text
    # Nothing is sent to it: what is tried here must not depend on who answers there.
    assert client.post(hook + "/pause").status_code == 200
    media = {"content-type": "application/cloudevents+json"}
    event = json.dumps({"specversion": "1.0", "type": f"{name}-secret", "data": {"of": f"{name}-secret"}})
    for _ in range(2):
        stored = client.post(f"/v1/topics/{topic}/events", content=event, headers=media)
        assert stored.status_code == 201, stored.text
    events: list[Any] = []
    deadline = time.monotonic() + PATIENCE
    while len(events) < 2:
        assert time.monotonic() < deadline
        wanted = {"maxEvents": 2 - len(events), "waitSeconds": 10, "leaseSeconds": 600}
        events += client.post(board + "/receive", json=wanted).json()["events"]
    rejected = client.post(board + "/reject", json={"ackTokens": [events.pop()["ackToken"]]})
    assert rejected.json() == {"succeeded": 1, "failed": []}
    while not client.get(board + "/dead-letters").json()["deadLetters"]:
        assert time.monotonic() < deadline
    made = Tenant(name, client, topic, events, [])
    made.furnished.extend(made.state())
    return made


def body_of(route: Route, topic: str, tokens: list[str]) -> Any:
    """A body with which the route would do something."""
    last = route.template.rpartition("/")[2]
    if route.method == "PUT":
        return {"topics": [topic]}
    bodies = {
        "events": {"some": "event"},
        "seek": {"to": "earliest"},
        "receive": {"maxEvents": 10},
        "ack": {"ackTokens": tokens},
        "release": {"ackTokens": tokens},
        "reject": {"ackTokens": tokens},
        "extend": {"ackTokens": tokens, "leaseSeconds": 1},
    }
    return bodies.get(last)


def told(answer: httpx2.Response, route: Route, names: dict[str, str]) -> tuple[int, dict[str, str], str]:
    """What an answer says, but for what its caller has said."""
    status, headers, text = _alike(answer)
    for replaced in (route.template.format(**names), *names.values()):
        text = text.replace(replaced, "<named>")
    return (
        status,
        {name: value for name, value in headers.items() if name not in {"content-length", "location"}},
        text,
    )


def _alike(answer: httpx2.Response) -> tuple[int, dict[str, str], str]:
    headers = {name: value for name, value in answer.headers.items() if name not in _OF_ITS_OWN}
    return answer.status_code, headers, answer.text


def asked(caller: Tenant, route: Route, names: dict[str, str], tokens: list[str]) -> httpx2.Response:
    document = body_of(route, caller.topic, tokens)
    path = route.template.format(**names)
    return caller.client.request(route.method, path, json=document)


def absent(name: str) -> str:
    """A name as long as another one that nobody has."""
    return "z" + name[1:-1] + "z" if len(name) > 1 else "z"


def names_of(victim: Tenant) -> dict[str, list[str]]:
    """All that a tenant has, by the name of the path's segment that could name it."""
    board = victim.client.get(f"/v1/subscriptions/{victim.board}").json()
    return {
        "name": [*victim.subscriptions[:2], board["id"], f"{victim.name}.{victim.board}", board["consumerGroup"]],
        "topic": [victim.topic, board["deadLetterTopic"]],
        "owner": [victim.name],
    }


ROUTES = [pytest.param(route, id=f"{route.method} {route.template}") for route in table()]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("thief", "owner"), [TENANTS, TENANTS[::-1]])
def test_no_route_reads_or_changes_what_the_other_tenant_has_or_says_that_it_is_there(
    tenants: dict[str, Tenant], route: Route, thief: str, owner: str
) -> None:
    caller, victim = tenants[thief], tenants[owner]
    having = names_of(victim)
    segments = [segment for segment in having if f"{{{segment}}}" in route.template]
    tries = []
    for index in range(max((len(having[segment]) for segment in segments), default=1)):
        names = {segment: having[segment][index % len(having[segment])] for segment in segments}
        tries += [names, {segment: absent(value) for segment, value in names.items()}]
    # At once, since what is not there is waited for a little.
    with ThreadPoolExecutor(len(tries)) as threads:
        answers = list(threads.map(lambda names: asked(caller, route, names, victim.tokens), tries))
    said = [told(answer, route, names) for answer, names in zip(answers, tries, strict=True)]
    for there, not_there in zip(said[::2], said[1::2], strict=True):
        if route.method == "PUT" and route.template == "/v1/subscriptions/{name}":
            # Names are one's own: both become new ones of the caller, and go again.
            assert (there[0], not_there[0]) == (201, 201)
        else:
            assert there == not_there
            assert not segments or there[0] in {403, 404}
        for secret in victim.private:
            assert secret not in there[2].replace(caller.topic, "")
    for names in tries if route.method == "PUT" else ():
        assert caller.client.delete(route.template.format(**names)).status_code == 204
    assert victim.state() == victim.furnished
    assert caller.state() == caller.furnished


@pytest.mark.parametrize("verb", ["ack", "release", "extend", "reject"])
@pytest.mark.parametrize(("thief", "owner"), [TENANTS, TENANTS[::-1]])
def test_tokens_of_the_other_tenant_settle_nothing_and_are_like_made_up_ones(
    tenants: dict[str, Tenant], verb: str, thief: str, owner: str
) -> None:
    caller, victim = tenants[thief], tenants[owner]
    path = f"/v1/subscriptions/{caller.board}/{verb}"
    raw = bytearray(base64.urlsafe_b64decode(victim.tokens[0]))
    raw[4:12] = secrets.token_bytes(8)
    made_up = base64.urlsafe_b64encode(raw).decode()
    more = {"leaseSeconds": 1} if verb == "extend" else {}
    answers = [
        _alike(caller.client.post(path, json={"ackTokens": [token], **more})) for token in (victim.tokens[0], made_up)
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 410
    assert victim.state() == victim.furnished
    assert caller.state() == caller.furnished


@pytest.mark.parametrize(("thief", "owner"), [TENANTS, TENANTS[::-1]])
def test_what_both_call_by_one_name_is_each_one_s_own(tenants: dict[str, Tenant], thief: str, owner: str) -> None:
    caller, victim = tenants[thief], tenants[owner]
    path = "/v1/subscriptions/same"
    mine = caller.client.get(path).json()
    assert mine["topics"] == [caller.topic]
    assert mine["id"] != victim.client.get(path).json()["id"]
    for method, below, body in (
        ("PUT", "", {"topics": [caller.topic], "filter": {"type": ["other"]}}),
        ("POST", "/pause", None),
        ("POST", "/seek", {"to": "earliest"}),
        ("POST", "/resume", None),
        ("DELETE", "", None),
        ("PUT", "", {"topics": [caller.topic]}),
    ):
        assert caller.client.request(method, path + below, json=body).is_success
    assert victim.state() == victim.furnished
    caller.furnished[:] = caller.state()
