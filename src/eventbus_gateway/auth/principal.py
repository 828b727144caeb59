"""Who is calling."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eventbus_gateway.auth.settings import ApiKeySettings, AuthSettings
from eventbus_gateway.errors import Unauthenticated

_MAX_KEY_BYTES = 256


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose identity is established.

    Args:
        name: unique name; ``anonymous`` where the configuration lets everybody in.
    """

    name: str


ANONYMOUS = Principal("anonymous")
# Who calls as long as that is not established: no grant can name it.
NOBODY = Principal("")


class ApiKeys:
    """Establishes who calls from an API key; knows only the keys' hashes.

    Args:
        keys: the accepted keys; one principal may have several, for rotation.
    """

    def __init__(self, keys: Sequence[ApiKeySettings]) -> None:
        self._principals = {key.sha256: Principal(key.principal) for key in keys}

    def __call__(self, headers: Mapping[bytes, bytes]) -> Principal:
        """The principal of a request.

        Args:
            headers: by lower-case name; ``authorization: Bearer <key>`` or ``x-api-key: <key>``.

        Raises:
            Unauthenticated: no key, two keys, or one that is not accepted.
        """
        # Looking up a digest leaks at most the timing of a hash of what the caller sent, which leads to no key.
        principal = self._principals.get(hashlib.sha256(_presented(headers)).hexdigest())
        if principal is None:
            raise Unauthenticated("The API key is not accepted.")
        return principal


def _presented(headers: Mapping[bytes, bytes]) -> bytes:
    authorization = headers.get(b"authorization")
    key = headers.get(b"x-api-key")
    if authorization is None and key is None:
        raise Unauthenticated("Send an API key as Authorization: Bearer <key> or as X-API-Key.")
    if authorization is not None:
        if key is not None:
            raise Unauthenticated("Send one credential: Authorization or X-API-Key.")
        scheme, _, key = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            raise Unauthenticated("The authorization scheme is not supported, use Bearer.")
        key = key.lstrip(b" ")  # RFC 9110 section 11.4: one or more spaces
    if not key or len(key) > _MAX_KEY_BYTES:
        raise Unauthenticated("The API key is not accepted.")
    return key


class Anonymous:
    """Takes every caller as the same principal; only where the configuration asks for it."""

    def __call__(self, headers: Mapping[bytes, bytes]) -> Principal:
        return ANONYMOUS


Authenticate = ApiKeys | Anonymous


def authenticator(settings: AuthSettings) -> Authenticate:
    """The way callers prove who they are, as configured."""
    return Anonymous() if settings.mode == "anonymous" else ApiKeys(settings.api_keys)
