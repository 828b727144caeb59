"""Who is calling."""

import hashlib

import pytest

from eventbus_gateway.auth.principal import ANONYMOUS, ApiKeys, Principal, authenticator
from eventbus_gateway.auth.settings import ApiKeySettings, AuthSettings
from eventbus_gateway.errors import Unauthenticated


def _setting(principal: str, key: bytes) -> ApiKeySettings:
    return ApiKeySettings(principal=principal, sha256=hashlib.sha256(key).hexdigest())


KEYS = ApiKeys([_setting("a", b"key-1"), _setting("a", b"key-2"), _setting("b", b"key-3")])


@pytest.mark.parametrize(("key", "principal"), [(b"key-1", "a"), (b"key-2", "a"), (b"key-3", "b")])
@pytest.mark.parametrize("form", [b"Bearer %s", b"bearer %s", b"Bearer   %s", None])
def test_a_known_key_stands_for_its_principal(form: bytes | None, key: bytes, principal: str) -> None:
    headers = {b"x-api-key": key} if form is None else {b"authorization": form % key}
    assert KEYS(headers) == Principal(principal)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"x-api-key": b""},
        {b"x-api-key": b"key-4"},
        {b"x-api-key": b"key-1" * 100},
        {b"authorization": b""},
        {b"authorization": b"Bearer"},
        {b"authorization": b"Bearer  "},
        {b"authorization": b"key-1"},
        {b"authorization": b"Basic key-1"},
        {b"authorization": b"Bearer key-1", b"x-api-key": b"key-1"},
        {b"authorization": b"Basic key-1", b"x-api-key": b"key-1"},
        {b"authorization": b"", b"x-api-key": b"key-1"},
        {b"x-api-key": hashlib.sha256(b"key-1").hexdigest().encode()},
    ],
)
def test_nothing_else_is_let_in_and_no_weaker_way_is_tried(headers: dict[bytes, bytes]) -> None:
    with pytest.raises(Unauthenticated) as refused:
        KEYS(headers)
    assert "key-1" not in str(refused.value)


def test_no_configured_keys_let_nobody_in() -> None:
    authenticate = authenticator(AuthSettings())
    with pytest.raises(Unauthenticated):
        authenticate({})
    with pytest.raises(Unauthenticated):
        authenticate({b"x-api-key": b"key-1"})


def test_the_anonymous_mode_lets_everybody_in_as_one_principal() -> None:
    authenticate = authenticator(AuthSettings(mode="anonymous"))
    assert authenticate({}) is ANONYMOUS
    assert authenticate({b"x-api-key": b"whatever"}) is ANONYMOUS
