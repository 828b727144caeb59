"""Who is calling."""

import asyncio
import hashlib
from collections.abc import Awaitable, Mapping

import pytest

from eventbus_gateway.auth.chain import Chain, authenticator
from eventbus_gateway.auth.key_entries import StoredKey
from eventbus_gateway.auth.key_ring import KeyRing
from eventbus_gateway.auth.keys import digest, new_key
from eventbus_gateway.auth.principal import ANONYMOUS, Principal
from eventbus_gateway.auth.settings import ApiKeySettings, AuthSettings
from eventbus_gateway.errors import KafkaUnavailable, RegistryUnavailable, Unauthenticated


def _setting(principal: str, key: bytes, *roles: str) -> ApiKeySettings:
    return ApiKeySettings(principal=principal, sha256=hashlib.sha256(key).hexdigest(), roles=roles)


KEYS = Chain(KeyRing([_setting("a", b"key-1"), _setting("a", b"key-2", "writer"), _setting("b", b"key-3")]))
TOKEN = b"aaaa.bbbb.cccc"


class Tokens:
    """Knows one token; judges it at once, or after asking somebody, as it is told to."""

    def __init__(self, *, asks: bool = False) -> None:
        self.asked: list[bytes] = []
        self._asks = asks

    async def start(self) -> None: ...

    async def aclose(self) -> None: ...

    def __call__(self, token: bytes) -> Principal | Awaitable[Principal]:
        self.asked.append(token)
        return self._after_asking(token) if self._asks else self._judged(token)

    async def _after_asking(self, token: bytes) -> Principal:
        return self._judged(token)

    @staticmethod
    def _judged(token: bytes) -> Principal:
        if token == b"down.down.down":
            raise RegistryUnavailable
        if token != TOKEN:
            raise Unauthenticated("The token is not accepted.")
        return Principal("t", frozenset({"reader"}))


def _refused(chain: Chain, headers: Mapping[bytes, bytes]) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as refused:
        chain(headers, "192.0.2.1")
    return refused.value


@pytest.mark.parametrize(("key", "principal"), [(b"key-1", "a"), (b"key-2", "a"), (b"key-3", "b")])
@pytest.mark.parametrize("form", [b"Bearer %s", b"bearer %s", b"Bearer   %s", None])
def test_a_known_key_stands_for_its_principal(form: bytes | None, key: bytes, principal: str) -> None:
    headers = {b"x-api-key": key} if form is None else {b"authorization": form % key}
    found = KEYS(headers, "")
    assert isinstance(found, Principal)
    assert found.name == principal
    assert found.roles == (frozenset({"writer"}) if key == b"key-2" else frozenset())


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"x-api-key": b""},
        {b"x-api-key": b"key-4"},
        {b"x-api-key": b"key-1" * 100},
        {b"x-api-key": b"key-1" * 100_000},
        {b"x-api-key": b"key-1\xff\xfe"},
        {b"x-api-key": "schlüssel".encode()},
        {b"x-api-key": b"Bearer key-1"},
        {b"authorization": b""},
        {b"authorization": b"Bearer"},
        {b"authorization": b"Bearer  "},
        {b"authorization": b"key-1"},
        {b"authorization": b"Basic key-1"},
        {b"authorization": b"Bearer key-1, Bearer key-1"},
        {b"authorization": b"Bearer\tkey-1"},
        {b"authorization": b"\xff\xfe key-1"},
        {b"authorization": b"Bearer key-1", b"x-api-key": b"key-1"},
        {b"authorization": b"Basic key-1", b"x-api-key": b"key-1"},
        {b"authorization": b"", b"x-api-key": b"key-1"},
        {b"x-api-key": hashlib.sha256(b"key-1").hexdigest().encode()},
        {b"x-api-key": hashlib.sha256(b"key-1").digest()},
    ],
)
@pytest.mark.parametrize("anonymous", [False, True])
def test_nothing_else_is_let_in_and_no_weaker_way_is_tried(headers: dict[bytes, bytes], anonymous: bool) -> None:
    ring = KeyRing([_setting("a", b"key-1")])
    chain = Chain(ring, anonymous=anonymous)
    if anonymous and not headers:
        assert chain(headers, "") is ANONYMOUS
        return
    refused = _refused(chain, headers)
    assert "key-1" not in f"{refused} {refused!r}"


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({}, None),
        ({b"authorization": b"Basic YTpi"}, None),
        ({b"authorization": b"Bearer key-4"}, "invalid_token"),
        ({b"x-api-key": b"key-4"}, "invalid_token"),
        ({b"authorization": b"Bearer key-1", b"x-api-key": b"key-1"}, "invalid_request"),
    ],
)
def test_a_refusal_says_whether_something_was_presented_that_could_be_judged(
    headers: dict[bytes, bytes], error: str | None
) -> None:
    assert _refused(KEYS, headers).error == error


def test_no_configured_keys_let_nobody_in() -> None:
    authenticate = authenticator(AuthSettings())
    for headers in ({}, {b"x-api-key": b"key-1"}):
        with pytest.raises(Unauthenticated):
            authenticate(headers, "")


def test_keys_that_are_created_later_are_accepted_where_there_was_none_at_the_start() -> None:
    ring, key = KeyRing(()), new_key()
    authenticate = authenticator(AuthSettings(key_table=True), ring)
    ring.replace("scheduling", (), (StoredKey("0" * 16, digest(key), frozenset({"producer"}), 0.0, None),))
    assert authenticate({b"x-api-key": key}, "") == Principal("scheduling", frozenset({"producer"}))


def test_the_anonymous_mode_lets_everybody_in_as_one_principal() -> None:
    authenticate = authenticator(AuthSettings(mode="anonymous"))
    assert authenticate({}, "") is ANONYMOUS
    assert authenticate({b"x-api-key": b"whatever"}, "") is ANONYMOUS


def test_only_ways_that_are_configured_are_taken() -> None:
    tokens = Tokens()
    chain = authenticator(AuthSettings(mode="several", methods=("oidc",)), tokens=tokens)
    assert chain({b"authorization": b"Bearer " + TOKEN}, "") == Principal("t", frozenset({"reader"}))
    for headers in ({b"x-api-key": b"key-1"}, {b"authorization": b"Bearer " + new_key()}, {}):
        with pytest.raises(Unauthenticated):
            chain(headers, "")
    assert tokens.asked == [TOKEN]
    with pytest.raises(ValueError, match="oidc"):
        authenticator(AuthSettings(mode="several", methods=("oidc",)))


def test_a_key_beyond_the_bound_is_not_looked_at_whoever_has_configured_it() -> None:
    for length, is_accepted in ((256, True), (257, False)):
        ring = KeyRing([_setting("a", b"k" * length)])
        if is_accepted:
            assert ring(b"k" * length) == Principal("a")
        else:
            with pytest.raises(Unauthenticated):
                ring(b"k" * length)


# Keys and tokens beside each other


def test_what_a_bearer_presents_is_judged_in_one_way_by_its_form() -> None:
    key, tokens = new_key(), Tokens()
    chain = Chain(KeyRing([_setting("k", key), _setting("old", b"old-key")]), tokens)
    assert chain({b"authorization": b"Bearer " + key}, "") == Principal("k")
    assert chain({b"authorization": b"Bearer old-key"}, "") == Principal("old")
    assert tokens.asked == []
    assert chain({b"authorization": b"Bearer " + TOKEN}, "") == Principal("t", frozenset({"reader"}))
    assert tokens.asked == [TOKEN]


def test_a_bad_credential_is_tried_in_no_other_way() -> None:
    key, tokens = b"has.two.dots", Tokens()
    chain = Chain(KeyRing([_setting("k", key)]), tokens, anonymous=True)
    _refused(chain, {b"authorization": b"Bearer " + key})
    assert tokens.asked == [key]
    _refused(chain, {b"authorization": b"Bearer " + new_key()})
    _refused(chain, {b"x-api-key": TOKEN})
    _refused(chain, {b"authorization": b"Bearer " + new_key() + b"." + TOKEN})
    assert tokens.asked == [key]


def test_a_token_that_needs_somebody_to_be_asked_is_judged_by_what_is_awaited() -> None:
    chain = Chain(None, Tokens(asks=True))

    async def judged(token: bytes) -> Principal:
        found = chain({b"authorization": b"Bearer " + token}, "")
        assert not isinstance(found, Principal)
        return await found

    assert asyncio.run(judged(TOKEN)).name == "t"
    with pytest.raises(Unauthenticated):
        asyncio.run(judged(b"a.b.c"))
    with pytest.raises(RegistryUnavailable):
        asyncio.run(judged(b"down.down.down"))


# Keys of the table


def _stored(key: bytes, *roles: str, expires: float | None = None) -> StoredKey:
    return StoredKey("0" * 16, digest(key), frozenset(roles), 0.0, expires)


def test_a_stored_key_is_accepted_until_it_expires() -> None:
    now, key = [100.0], new_key()
    ring = KeyRing([], now=lambda: now[0])
    ring.replace("a", (), (_stored(key, "writer", expires=200.0),))
    assert ring(key) == Principal("a", frozenset({"writer"}))
    now[0] = 199.999
    assert ring(key).name == "a"
    now[0] = 200.0
    with pytest.raises(Unauthenticated, match="expired"):
        ring(key)


def test_a_key_that_the_table_does_not_have_any_more_is_refused_at_once() -> None:
    old, new = new_key(), new_key()
    ring = KeyRing([])
    ring.replace("a", (), (_stored(old),))
    ring.replace("a", (_stored(old),), (_stored(old), _stored(new)))
    assert ring(old) == ring(new) == Principal("a")
    ring.replace("a", (_stored(old), _stored(new)), (_stored(new),))
    assert ring(new) == Principal("a")
    with pytest.raises(Unauthenticated):
        ring(old)


def test_what_the_table_says_never_ends_a_key_of_the_configuration() -> None:
    key = new_key()
    ring = KeyRing([_setting("c", key)])
    ring.replace("a", (), (_stored(key),))
    ring.replace("a", (_stored(key),), ())
    assert ring(key) == Principal("c")


def test_while_the_table_is_not_read_only_what_may_be_in_it_is_asked_to_come_back() -> None:
    reason: list[str | None] = ["not read yet"]
    configured, unknown = new_key(), new_key()
    ring = KeyRing([_setting("c", configured), _setting("d", b"old-key")], lambda: reason[0])
    assert ring(configured).name == "c"
    assert ring(b"old-key").name == "d"
    with pytest.raises(KafkaUnavailable) as unavailable:
        ring(unknown)
    assert unavailable.value.retry_after == 1.0
    for wrong in (b"old-key-2", unknown[:-1], unknown[:-1] + (b"0" if unknown[-1:] != b"0" else b"1"), b"eventbus_"):
        with pytest.raises(Unauthenticated):
            ring(wrong)
    reason[0] = None
    with pytest.raises(Unauthenticated):
        ring(unknown)


def test_no_key_shows_where_objects_are_printed() -> None:
    key = new_key()
    ring = KeyRing([_setting("c", key)])
    ring.replace("a", (), (_stored(key),))
    assert key.decode() not in f"{ring!r} {ring(key)!r} {Chain(ring)!r}"
