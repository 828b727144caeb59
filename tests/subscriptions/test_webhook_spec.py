"""What owners may say about webhooks, what they are told, and what becomes of their secrets."""

from typing import Any

import pytest

from eventbus_gateway.errors import InvalidSubscription
from eventbus_gateway.subscriptions.patterns import compile_filter
from eventbus_gateway.subscriptions.resource import (
    Subscription,
    created,
    from_bytes,
    same_state,
    shown,
    to_bytes,
    with_spec,
)
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.subscriptions.spec import Spec, parse_spec
from eventbus_gateway.subscriptions.spec_rules import SpecRules
from eventbus_gateway.subscriptions.webhook_spec import WebhookDelivery
from eventbus_gateway.webhooks.outlet import SealedVault
from eventbus_gateway.webhooks.sealing import Sealer

URL = "https://team.example/hook"
SECRET = "s3cr3t-0f-the-ward"


def outside_only(url: str) -> None:
    if "inside" in url:
        raise InvalidSubscription("expected a URL outside")


VAULT = SealedVault(Sealer([bytes(range(32))]))
RULES = SpecRules(SubscriptionSettings(), compile_filter, outside_only, asks_receivers=True)


def spec(**delivery: Any) -> Spec:
    return parse_spec({"topics": ["notes"], "delivery": {"type": "webhook", "url": URL, **delivery}}, RULES)


def webhook(**delivery: Any) -> WebhookDelivery:
    found = spec(**delivery).delivery
    assert isinstance(found, WebhookDelivery)
    return found


def subscription(**delivery: Any) -> Subscription:
    return created("clinic", "board", spec(**delivery), 1)


def faults(rules: SpecRules = RULES, **delivery: Any) -> dict[str, str]:
    with pytest.raises(InvalidSubscription) as refused:
        parse_spec({"topics": ["notes"], "delivery": {"type": "webhook", "url": URL, **delivery}}, rules)
    return {fault.pointer: fault.detail for fault in refused.value.faults}


BEARER = {"type": "bearer", "token": SECRET}
HEADERS = {"type": "headers", "headers": {"x-api-key": SECRET, "authorization": "Basic " + SECRET}}
OAUTH2 = {
    "type": "oauth2",
    "tokenUrl": "https://login.example/token",
    "clientId": "gateway",
    "clientSecret": SECRET,
    "clientAuthentication": "body",
    "scope": "events.write",
    "audience": "ward",
}
AUTHS = [BEARER, HEADERS, OAUTH2]


def test_a_url_is_enough_and_everything_else_has_a_default() -> None:
    found = webhook()
    assert (found.format, found.order, found.max_in_flight, found.rate_per_second) == ("binary", "key", 64, None)
    assert (found.timeout_seconds, found.auth, found.handshake, found.signing) == (15.0, None, "none", "v1")
    assert (found.retry.max_attempts, found.retry.max_age_seconds) == (24, 86_400.0)
    assert found.retry.on_client_error == "retry"


def test_everything_that_is_said_is_taken_and_stored() -> None:
    document = {
        "type": "webhook",
        "url": "http://[2001:db8::1]:8080/a/b?c=%20d",
        "format": "batch",
        "order": "partition",
        "maxInFlight": 3,
        "ratePerSecond": 0.5,
        "timeoutSeconds": 30.0,
        "batch": {"maxEvents": 7, "maxBytes": 2_048, "waitSeconds": 2.5},
        "retry": {
            "maxAttempts": None,
            "maxAgeSeconds": 60.0,
            "firstBackoffSeconds": 1.0,
            "maxBackoffSeconds": 8.0,
            "onClientError": "dead_letter",
        },
        "auth": None,
        "handshake": "cloudevents",
        "signing": "none",
    }
    found = spec(**document)
    assert found.delivery.model_dump(mode="json", by_alias=True) == document
    stored = created("clinic", "board", found, 1)
    assert from_bytes(to_bytes(stored)) == stored


def test_a_stored_subscription_that_is_pulled_stays_readable() -> None:
    stored = (
        b'{"format":1,"subscription":{"id":"1","owner":"o","name":"n","spec":{"topics":["a"],"filter":null,'
        b'"start":"latest","parallelism":1,"delivery":{"type":"pull","order":"key","leaseSeconds":null,'
        b'"maxDeliveries":16,"maxInFlight":null}},"control":{"paused":false,"group":null,"sought":null,"redrive":null},'
        b'"createdAt":1,"updatedAt":1}}'
    )
    found = from_bytes(stored)
    assert found is not None
    assert (found.spec.delivery.type, found.spec.delivery.order) == ("pull", "key")
    assert from_bytes(to_bytes(found)) == found


@pytest.mark.parametrize(
    ("delivery", "pointer", "detail"),
    [
        ({"type": "mail"}, "/type", "expected 'pull' or 'webhook'"),
        ({"type": 1}, "/type", "expected 'pull' or 'webhook'"),
        ({"url": 1}, "/url", "expected a string"),
        ({"format": "xml"}, "/format", "expected 'binary', 'structured' or 'batch'"),
        ({"order": "topic"}, "/order", "expected 'key', 'partition' or 'none'"),
        ({"maxInFlight": 0}, "/maxInFlight", "expected at least 1"),
        ({"maxInFlight": 1_001}, "/maxInFlight", "expected at most 1000"),
        ({"ratePerSecond": 0}, "/ratePerSecond", "expected at least 0.01"),
        ({"timeoutSeconds": 121}, "/timeoutSeconds", "expected at most 120"),
        ({"batch": {}}, "", "expected no batch unless the format is batch"),
        ({"format": "batch", "batch": {"maxEvents": 0}}, "/batch/maxEvents", "expected at least 1"),
        ({"format": "batch", "batch": {"maxBytes": 10}}, "/batch/maxBytes", "expected at least 1024"),
        ({"format": "batch", "batch": {"waitSeconds": -1}}, "/batch/waitSeconds", "expected at least 0"),
        ({"retry": {"maxAttempts": 0}}, "/retry/maxAttempts", "expected at least 1"),
        ({"retry": {"maxAgeSeconds": 0}}, "/retry/maxAgeSeconds", "expected at least 1"),
        ({"retry": {"onClientError": "drop"}}, "/retry/onClientError", "expected 'retry' or 'dead_letter'"),
        ({"retry": {"firstBackoffSeconds": 9, "maxBackoffSeconds": 8}}, "/retry", "expected maxBackoffSeconds of"),
        ({"retry": None}, "/retry", "expected an object"),
        ({"auth": "Bearer"}, "/auth", "expected an object"),
        ({"auth": {}}, "/auth/type", "is missing"),
        ({"auth": {"type": "kerberos"}}, "/auth/type", "expected 'bearer', 'headers' or 'oauth2'"),
        ({"auth": {"type": "bearer", "token": ""}}, "/auth/token", "expected 1 to 4096 visible ASCII characters"),
        ({"auth": {"type": "bearer", "token": "a\r\nb"}}, "/auth/token", "expected 1 to 4096 visible"),
        ({"auth": {"type": "bearer", "token": "x" * 4_097}}, "/auth/token", "expected 1 to 4096 visible"),
        ({"auth": {"type": "bearer", "token": 1}}, "/auth/token", "expected a string"),
        ({"auth": {"type": "headers", "headers": {}}}, "/auth/headers", "expected at least 1 entries"),
        ({"auth": {"type": "headers", "headers": {"a b": "c"}}}, "/auth/headers/a b", "expected the name of a"),
        ({"auth": {"type": "headers", "headers": {"Host": "c"}}}, "/auth/headers/Host", "expected a header that"),
        ({"auth": {"type": "headers", "headers": {"CE-Id": "c"}}}, "/auth/headers/CE-Id", "expected a header that"),
        (
            {"auth": {"type": "headers", "headers": {"a": "b", "A": "c"}}},
            "/auth/headers",
            "expected each header once",
        ),
        ({"auth": OAUTH2 | {"tokenUrl": "ftp://x"}}, "/auth/tokenUrl", "expected a URL such as"),
        ({"auth": OAUTH2 | {"tokenUrl": "https://inside"}}, "/auth/tokenUrl", "expected a URL outside"),
        ({"auth": OAUTH2 | {"clientId": "a\nb"}}, "/auth/clientId", "is not valid"),
        ({"handshake": True}, "/handshake", "expected 'none' or 'cloudevents'"),
        ({"signing": "v0"}, "/signing", "expected 'v1' or 'none'"),
        ({"leaseSeconds": 1}, "/leaseSeconds", "is not a known field"),
    ],
)
def test_a_fault_has_its_place_and_says_what_was_expected(
    delivery: dict[str, Any], pointer: str, detail: str
) -> None:
    found = faults(**delivery)
    assert list(found) == ["/delivery" + pointer]
    assert found["/delivery" + pointer].startswith(detail)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "team.example/hook",
        "//team.example/hook",
        "ftp://team.example/hook",
        "https://",
        "https:///hook",
        "https://team.example:0/",
        "https://team.example:65536/",
        "https://team.example:port/",
        "https://team.example/\r\nhost: other",
        "https://team.example/a b",
        "https://team.example\\@inside/",
        "https://team.example/%zz",
        "https://te%61m.example/",
        "https://täm.example/",
        "https://user@team.example/",
        "https://user:password@team.example/",
        "https://:@team.example/",
        "https://team.example/hook#here",
        "https://team.example/" + "x" * 2_048,
        "https://[::1",
        "https://[fe80::1%25eth0]/",
    ],
)
def test_what_could_be_read_as_another_place_is_no_url(url: str) -> None:
    assert list(faults(url=url)) == ["/delivery/url"]


@pytest.mark.parametrize(
    "url", ["https://a", "https://a.b-c_d.example:1/", "http://10.0.0.1?x", "https://a/@b:c/d;e=f"]
)
def test_any_other_absolute_url_is_one(url: str) -> None:
    assert webhook(url=url).url == url


def test_where_nothing_can_judge_urls_none_is_taken() -> None:
    strict = SpecRules(SubscriptionSettings(), compile_filter)
    assert faults(strict) == {"/delivery/url": "This gateway calls no URLs."}
    assert faults(url="https://inside/") == {"/delivery/url": "expected a URL outside"}


def test_a_gateway_without_a_name_offers_no_handshake() -> None:
    nameless = SpecRules(SubscriptionSettings(), compile_filter, outside_only)
    [(place, sentence)] = faults(nameless, handshake="cloudevents").items()
    assert place == "/delivery/handshake"
    assert "webhooks.origin" in sentence


@pytest.mark.parametrize("auth", AUTHS)
def test_secrets_are_stored_and_never_shown(auth: dict[str, Any]) -> None:
    one = subscription(auth=auth)
    stored = to_bytes(one, VAULT)
    assert from_bytes(stored, VAULT) == one
    seen = [
        stored.decode(),
        str(shown(one, "eventbus")),
        repr(one),
        str(one.spec),
        one.model_dump_json(),
        str(one.model_dump()),
    ]
    assert not any(SECRET in text for text in seen)


def test_no_fault_repeats_a_secret() -> None:
    told = faults(auth={"type": "headers", "headers": {"host": SECRET, "x": SECRET + "\n"}}, url=SECRET)
    assert len(told) == 3
    assert not any(SECRET in sentence for sentence in told.values())


@pytest.mark.parametrize("auth", AUTHS)
def test_what_was_shown_can_be_said_again_and_keeps_the_secrets(auth: dict[str, Any]) -> None:
    one = subscription(auth=auth)
    said = parse_spec({"topics": ["notes"], "delivery": shown(one, "eventbus")["delivery"]}, RULES)
    assert with_spec(one, said, 2) is one
    changed = with_spec(one, parse_spec({"topics": ["more"], "delivery": shown(one, "e")["delivery"]}, RULES), 2)
    assert changed.spec.delivery == one.spec.delivery


@pytest.mark.parametrize(
    ("auth", "pointers"),
    [
        ({"type": "bearer"}, {"/delivery/auth/token"}),
        ({"type": "headers", "headers": {"A": "b", "C~": None}}, {"/delivery/auth/headers/c~0"}),
        ({key: value for key, value in OAUTH2.items() if key != "clientSecret"}, {"/delivery/auth/clientSecret"}),
    ],
)
def test_a_secret_that_is_neither_said_nor_stored_is_missing(auth: dict[str, Any], pointers: set[str]) -> None:
    said = spec(auth=auth)
    for before in (None, subscription(), subscription(auth={"type": "headers", "headers": {"x": "y"}})):
        with pytest.raises(InvalidSubscription) as refused:
            created("clinic", "board", said, 1) if before is None else with_spec(before, said, 2)
        assert {fault.pointer for fault in refused.value.faults} == pointers


@pytest.mark.parametrize("auth", AUTHS)
def test_secrets_do_not_follow_a_url_to_somewhere_else(auth: dict[str, Any]) -> None:
    one = subscription(auth=auth)
    known = shown(one, "eventbus")["delivery"]["auth"]
    with pytest.raises(InvalidSubscription):
        with_spec(one, spec(url="https://other.example/", auth=known), 2)
    if "tokenUrl" in known:
        with pytest.raises(InvalidSubscription):
            with_spec(one, spec(auth=known | {"tokenUrl": "https://other.example/"}), 2)


@pytest.mark.parametrize("auth", AUTHS)
def test_a_new_secret_takes_the_place_of_the_stored_one(auth: dict[str, Any]) -> None:
    one = subscription(auth=auth)
    other = spec(auth=_replaced(auth))
    changed = with_spec(one, other, 2)
    assert changed.spec == other
    again = from_bytes(to_bytes(changed, VAULT), VAULT)
    assert again is not None
    assert again.spec == other


def _replaced(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(each) for name, each in value.items()}
    return value.replace(SECRET, "another")


def test_another_kind_of_delivery_or_order_is_another_state_and_nothing_else_of_a_webhook_is() -> None:
    one = subscription(auth=BEARER)
    pulled = Spec.model_validate({"topics": ["notes"], "delivery": {"type": "pull", "order": "key"}})
    assert not same_state(one, with_spec(one, pulled, 2))
    assert not same_state(one, with_spec(one, spec(order="partition"), 2))
    other = spec(url="https://other.example/", format="batch", maxInFlight=1, ratePerSecond=1, auth=None)
    assert same_state(one, with_spec(one, other, 2))


def test_a_lease_outlasts_an_attempt_and_no_number_of_them_gives_an_event_up() -> None:
    found = webhook(timeoutSeconds=120)
    assert found.lease_seconds >= 120 + 120 + 30
    assert found.max_deliveries is None


def test_a_request_has_one_event_unless_batches_are_wanted() -> None:
    assert (webhook().request.max_events, webhook().request.wait_seconds) == (1, 0)
    assert webhook(format="batch").request.max_events == 100
    assert webhook(format="batch", batch={"maxEvents": 7}).request.max_events == 7
