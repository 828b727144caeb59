"""What owners of webhooks do: create, try, rotate, look at attempts; and what becomes of secrets at rest."""

import asyncio
from collections.abc import Awaitable, Callable

import orjson
import pytest
from pydantic import SecretStr
from tests.api.managing import Office, office
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.leaks import marked
from tests.subscriptions.living import run

from eventbus_gateway.api.http import Request
from eventbus_gateway.api.own import Own
from eventbus_gateway.auth.policy import Action, Policy
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.errors import InvalidParameter, OwnerUnavailable
from eventbus_gateway.subscriptions.resource import Subscription, from_bytes, to_bytes
from eventbus_gateway.subscriptions.vault import NoVault, Vault, legible
from eventbus_gateway.subscriptions.webhook_auth import BearerAuth
from eventbus_gateway.subscriptions.webhook_spec import WebhookDelivery
from eventbus_gateway.webhooks.outbound import Attempted
from eventbus_gateway.webhooks.outlet import SealedVault
from eventbus_gateway.webhooks.rotating import signer_of
from eventbus_gateway.webhooks.sealing import Sealer

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
URL = "https://team.example/hook"
TOKEN = marked("t0ken-0f-the-ward", "the bearer token of a webhook")
WEBHOOK = {"type": "webhook", "url": URL, "auth": {"type": "bearer", "token": TOKEN}}

Scenario = Callable[[Office], Awaitable[None]]
Play = Callable[[Scenario], None]


@pytest.fixture(scope="module")
def name(topic: TopicFactory) -> str:
    return topic(1)


@pytest.fixture
def play(broker: Broker, table: str) -> Callable[..., None]:
    """Runs a scenario on one replica; again on the same subscriptions."""

    def go(scenario: Scenario, vault: Vault | None = None) -> None:
        async def alone() -> None:
            async with office(broker.bootstrap, table, vault=vault or SealedVault(Sealer([KEY]))) as own:
                await scenario(own)

        run(alone)

    return go


def secrets(subscription: Subscription) -> list[str | None]:
    return [legible(each.secret) for each in subscription.signing]


def test_a_signing_secret_is_told_when_it_is_made_and_never_again(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        created = await own.call("PUT", "/board", {"topics": [name], "delivery": WEBHOOK})
        assert created.status == 201
        secret = marked(created.document["signingSecret"], "the signing secret of a webhook")
        assert secret.startswith("whsec_")
        assert secrets(own.subscription("board")) == [secret]
        assert dict(created.headers)[b"cache-control"] == b"no-store"
        others = [
            await own.call("PUT", "/board", {"topics": [name], "delivery": WEBHOOK}),
            await own.call("PUT", "/board", {"topics": [name], "delivery": {**WEBHOOK, "maxInFlight": 3}}),
            await own.call("GET", "/board"),
            await own.call("GET", ""),
            await own.call("POST", "/board/pause"),
        ]
        for said in others:
            assert said.status == 200
            assert b"whsec_" not in said.body
            assert TOKEN.encode() not in said.body

    play(scenario)


def test_a_pulled_subscription_that_becomes_a_webhook_has_its_secret_told(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name)
        assert "signingSecret" in (await own.put("board", name, delivery=WEBHOOK)).document
        assert "signingSecret" not in (await own.put("board", name, delivery={**WEBHOOK, "signing": "none"})).document

    play(scenario)


def test_a_url_that_may_not_be_called_is_refused(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        said = await own.call("PUT", "/b", {"topics": [name], "delivery": {**WEBHOOK, "url": "https://inside/"}})
        assert said.faults() == {"/delivery/url": "expected a URL outside"}

    play(scenario)


@pytest.mark.parametrize(
    ("answer", "delivered", "status", "error"),
    [
        (Attempted(204, None, None, 0.0123), True, 204, None),
        (Attempted(401, None, None, 0.0123), False, 401, None),
        (Attempted(None, "tls", None, 0.0123), False, None, "tls"),
        (Attempted(200, "truncated", None, 0.0123), False, 200, "truncated"),
    ],
)
def test_a_test_says_what_the_receiver_answered(
    play: Play, name: str, answer: Attempted, delivered: bool, status: int | None, error: str | None
) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name, delivery=WEBHOOK)
        await own.call("POST", "/board/pause")
        own.answer = answer
        said = await own.call("POST", "/board/test")
        ((subscription, event_id),) = own.pinged
        assert said.status == 200
        assert said.document == {
            "delivered": delivered,
            "eventId": event_id,
            "status": status,
            "error": error,
            "latencyMs": 12.3,
        }
        assert subscription == own.subscription("board")

    play(scenario)


def test_a_rotation_tells_the_new_secret_and_how_long_the_former_one_signs(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        first = (await own.put("board", name, delivery=WEBHOOK)).document["signingSecret"]
        rotated = await own.call("POST", "/board/rotate-secret")
        second = rotated.document["signingSecret"]
        assert (rotated.status, rotated.document["formerSecretUntil"]) == (200, "2023-11-15T22:13:20.000Z")
        assert dict(rotated.headers)[b"cache-control"] == b"no-store"
        assert secrets(own.subscription("board")) == [second, first]
        at_once = await own.call("POST", "/board/rotate-secret", {"overlapSeconds": 0}, if_match=rotated.etag)
        assert at_once.document["formerSecretUntil"] is None
        assert secrets(own.subscription("board")) == [at_once.document["signingSecret"]]
        stale = await own.call("POST", "/board/rotate-secret", if_match=rotated.etag)
        stale.problem(412, "precondition_failed")

    play(scenario)


@pytest.mark.parametrize("body", [{"overlapSeconds": -1}, {"overlapSeconds": 2_592_001}, {"seconds": 1}, [], b"{"])
def test_a_rotation_that_is_not_understood_changes_nothing(play: Play, name: str, body: object) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name, delivery=WEBHOOK)
        before = own.subscription("board")
        assert (await own.call("POST", "/board/rotate-secret", body)).status == 400
        assert own.subscription("board") == before

    play(scenario)


def test_attempts_of_all_shards_come_together_and_what_is_missing_is_told(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name, delivery=WEBHOOK)
        times = [["2026-01-31T09:30:03.000Z", "2026-01-31T09:30:00.000Z"], ["2026-01-31T09:30:02.000Z"]]
        own.tried = [[orjson.dumps({"at": at}) for at in shard] for shard in times] + [OwnerUnavailable()]
        said = await own.call("GET", "/board/attempts")
        assert [each["at"][17:19] for each in said.document["attempts"]] == ["03", "02", "00"]
        assert said.document["missing"] == [{"shard": 2, "trouble": "owner_unavailable"}]
        assert len((await own.call("GET", "/board/attempts", query="limit=2")).document["attempts"]) == 2
        own.tried = [OwnerUnavailable()]
        assert (await own.call("GET", "/board/attempts")).status == 503
        for query in ("limit=0", "limit=201", "limit=x", "other=1"):
            assert (await own.call("GET", "/board/attempts", query=query)).status == 400

    play(scenario)


CALLS = [("POST", "/board/test"), ("POST", "/board/rotate-secret"), ("GET", "/board/attempts")]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_what_only_webhooks_have_is_for_their_owners_and_not_for_pulled_subscriptions(
    play: Play, name: str, method: str, path: str
) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name)
        (await own.call(method, path)).problem(400, "invalid_parameter")
        await own.put("board", name, delivery=WEBHOOK)
        assert (await own.call(method, path)).status == 200
        (await own.call(method, path, by="archive")).problem(404, "unknown_subscription")
        if method == "POST":
            (await own.call(method, path, query="x=1")).problem(400, "invalid_parameter")
        own.grant({"clinic": "other"})
        (await own.call(method, path)).problem(403, "forbidden")

    play(scenario)


def test_requests_that_are_not_signed_have_no_secret_to_rotate(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name, delivery={**WEBHOOK, "signing": "none"})
        (await own.call("POST", "/board/rotate-secret")).problem(400, "invalid_parameter")

    play(scenario)


def test_a_receiver_that_is_gone_pauses_its_subscription_which_says_why(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name, delivery=WEBHOOK)
        one = own.subscription("board")
        await asyncio.gather(*(own.parts.lifecycle.disable(one, "gone") for _ in range(3)))
        shown = (await own.call("GET", "/board")).document
        assert (shown["paused"], shown["pauseReason"]) == (True, "gone")
        resumed = (await own.call("POST", "/board/resume")).document
        assert (resumed["paused"], resumed["pauseReason"]) == (False, None)
        # What was found out about a receiver says nothing about another one.
        await own.put("board", name, delivery={**WEBHOOK, "url": "https://other.example/"})
        await own.parts.lifecycle.disable(one, "gone")
        await own.call("DELETE", "/board")
        await own.put("board", name, delivery=WEBHOOK)
        await own.parts.lifecycle.disable(one, "gone")
        assert not own.subscription("board").control.paused
        await own.call("DELETE", "/board")
        await own.parts.lifecycle.disable(one, "gone")

    play(scenario)


# At rest


def test_what_is_stored_has_no_secret_in_clear_and_is_read_back_whole(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        secret = (await own.put("board", name, delivery=WEBHOOK)).document["signingSecret"]
        (entry,) = own.parts.table.items()
        for hidden in (secret, secret.removeprefix("whsec_"), TOKEN):
            assert hidden.encode() not in entry.value
        assert from_bytes(entry.value, SealedVault(Sealer([OTHER_KEY, KEY]))) == own.subscription("board")

    play(scenario)


def test_a_secret_opens_only_with_its_key_unchanged_and_for_its_own_subscription(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name, delivery=WEBHOOK)
        await own.put("twin", name, delivery=WEBHOOK)
        vault = SealedVault(Sealer([KEY]))
        one, twin = own.subscription("board"), own.subscription("twin")
        stored = orjson.loads(to_bytes(one, vault))
        sealed = stored["subscription"]["signing"][0]["secret"]
        foreign = orjson.loads(to_bytes(twin, vault))
        foreign["subscription"]["signing"][0]["secret"] = sealed
        stored["subscription"]["signing"][0]["secret"] = sealed[:-2] + ("AA" if sealed[-2:] != "AA" else "BB")
        tampered = from_bytes(orjson.dumps(stored), vault)
        for found in (
            tampered,
            from_bytes(orjson.dumps(foreign), vault),
            from_bytes(to_bytes(one, vault), SealedVault(Sealer([OTHER_KEY]))),
            from_bytes(to_bytes(one, vault)),
        ):
            assert found is not None
            assert secrets(found) == [None]
            assert signer_of(found.signing) is None
        assert tampered is not None
        assert tampered.spec == one.spec  # each secret is sealed by itself

    play(scenario)


def test_a_subscription_whose_secrets_cannot_be_opened_can_be_seen_mended_and_deleted(
    play: Callable[..., None], name: str
) -> None:
    async def before(own: Office) -> None:
        await own.put("board", name, delivery=WEBHOOK)
        await own.put("other", name, delivery=WEBHOOK)

    async def after(own: Office) -> None:
        assert signer_of(own.subscription("board").signing) is None
        shown = (await own.call("GET", "/board")).document
        assert shown["delivery"]["auth"] == {"type": "bearer", "token": None}
        assert [each["name"] for each in (await own.call("GET", "")).document["subscriptions"]] == ["board", "other"]
        await own.put("board", name, delivery=WEBHOOK)
        assert (await own.call("POST", "/board/rotate-secret")).status == 200
        assert signer_of(own.subscription("board").signing) is not None
        assert (await own.call("DELETE", "/other")).status == 204

    play(before)
    play(after, SealedVault(Sealer([OTHER_KEY])))


def test_what_is_changed_while_secrets_cannot_be_opened_leaves_them_as_they_are(
    play: Callable[..., None], name: str
) -> None:
    first: list[str | None] = []

    async def before(own: Office) -> None:
        await own.put("board", name, delivery=WEBHOOK)
        first.extend(secrets(own.subscription("board")))

    async def without_the_key(own: Office) -> None:
        delivery = (await own.call("GET", "/board")).document["delivery"]
        said = await own.call("PUT", "/board", {"topics": [name], "delivery": {**delivery, "maxInFlight": 3}})
        assert said.status == 200
        assert "signingSecret" not in said.document
        assert (await own.call("POST", "/board/pause")).status == 200
        assert signer_of(own.subscription("board").signing) is None

    async def after(own: Office) -> None:
        found = own.subscription("board")
        assert (found.control.paused, secrets(found)) == (True, first)
        assert isinstance(found.spec.delivery, WebhookDelivery)
        assert found.spec.delivery.max_in_flight == 3
        assert found.spec.delivery.auth == BearerAuth(type="bearer", token=SecretStr(TOKEN))

    play(before)
    play(without_the_key, SealedVault(Sealer([OTHER_KEY])))
    play(without_the_key, NoVault())
    play(after)


def test_nobody_can_pull_the_events_of_a_webhook(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name, delivery=WEBHOOK)
        await own.put("pulled", name)
        found = Own(own.parts.store, Policy(None))
        caller = Principal("clinic")
        for wanted in ("board", "pulled"):
            request = Request("POST", f"/v1/subscriptions/{wanted}/receive", b"", {}, b"", "r")
            request.params["name"], request.principal, request.action = wanted, caller, Action.SUBSCRIBE
            if wanted == "pulled":
                assert (await found.pulled(request)).name == "pulled"
            else:
                with pytest.raises(InvalidParameter, match="sent to its webhook"):
                    await found.pulled(request)

    play(scenario)
