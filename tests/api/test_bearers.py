"""Callers with tokens of an identity provider, over real connections."""

import contextlib
import time
from collections.abc import Iterator

import pytest
from loadtests.local_issuer import JWKS, LocalIssuer, rsa_key
from tests.api.guarded import AUTH as GUARDED
from tests.api.guarded import CLINIC, bearer
from tests.api.publishing import TOPICS, attribute, kafka, problem, publish, registry
from tests.scripted_server import PATIENCE_SECONDS, Canned
from tests.serving import Served, Way

from eventbus_gateway.auth.oidc.settings import OidcIssuerSettings
from eventbus_gateway.auth.oidc.tokens import OidcTokens
from eventbus_gateway.auth.settings import AuthSettings

KEY, OTHER_KEY = rsa_key(), rsa_key()


@pytest.fixture(params=["protocol", "asgi", "uvicorn"])
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with LocalIssuer() as running:
        running.keys["first"] = KEY
        yield running


@contextlib.contextmanager
def serving(issuer: LocalIssuer, way: Way, folders: pytest.TempPathFactory) -> Iterator[Served]:
    settings = OidcIssuerSettings(
        prefix="corp", issuer=issuer.url, audiences=("eventbus",), allow_http=True, min_refresh_seconds=1
    )
    grant = {"principal": "corp.labs", "actions": ("publish",), "topics": ("notes",)}
    auth = AuthSettings.model_validate(
        {
            "mode": "several",
            "methods": ("api_keys", "oidc"),
            "api_keys": GUARDED.api_keys,
            "oidc": (settings,),
            "grants": (*GUARDED.grants, grant),
        }
    )
    folder = folders.mktemp("schemas")
    gateway = Served(
        way=way,
        kafka=kafka(),
        registry=registry(folder),
        topics=TOPICS,
        auth=auth,
        tokens=lambda: OidcTokens(auth.oidc),
    )
    with contextlib.closing(gateway):
        yield gateway


def test_a_token_says_who_calls_and_a_bad_one_says_what_is_wrong_with_it(
    issuer: LocalIssuer, way: Way, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with serving(issuer, way, tmp_path_factory) as gateway:
        good, expired = issuer.token("first", sub="labs"), issuer.token("first", sub="labs", exp=1)
        for _ in range(3):  # from the second time on the head is a remembered one
            assert publish(gateway, "notes", {}, **bearer(good.decode())).status_code == 201
        assert {attribute(record, "ce_source") for record in gateway.kafka.records("notes")} == {
            "/principals/corp.labs"
        }
        problem(publish(gateway, "keyed", {}, **bearer(good.decode())), 403, "forbidden")
        refused = publish(gateway, "notes", {}, **bearer(expired.decode()))
        assert problem(refused, 401, "unauthenticated")["detail"] == "The token has expired."
        assert refused.headers["www-authenticate"] == 'Bearer realm="eventbus", error="invalid_token"'
        assert publish(gateway, "notes", {}, **bearer(CLINIC)).status_code == 201
        shown = b"".join(gateway.access.lines) + refused.content + gateway.metrics.exposition()
        for token in (good, expired):
            assert not [part for part in token.split(b".") if part in shown]


def test_a_request_waits_until_the_key_of_its_token_was_fetched(
    issuer: LocalIssuer, way: Way, tmp_path_factory: pytest.TempPathFactory
) -> None:
    issuer.answer = lambda path: Canned(503) if path == JWKS else None
    with serving(issuer, way, tmp_path_factory) as gateway:
        token = issuer.token("first", sub="labs").decode()
        away = publish(gateway, "notes", {}, **bearer(token))
        problem(away, 503, "issuer_unavailable")
        assert int(away.headers["retry-after"]) >= 1
        # Another credential does not wait for it.
        assert publish(gateway, "notes", {}, **bearer(CLINIC)).status_code == 201
        issuer.answer = lambda path: None
        assert answers(gateway, token) <= {503, 201}
        # Within a second of the last time nothing is fetched; then the request itself has it done.
        issuer.keys["second"] = OTHER_KEY
        assert answers(gateway, issuer.token("second", sub="labs").decode()) <= {401, 201}


def answers(gateway: Served, token: str) -> set[int]:
    """The statuses that came until the last one was that of success."""
    found: set[int] = set()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while 201 not in found:
        assert time.monotonic() < deadline, found
        found.add(publish(gateway, "notes", {}, **bearer(token)).status_code)
    return found
