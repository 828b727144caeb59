"""The API keys that are accepted at this moment, by their hashes."""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from eventbus_gateway.auth.key_entries import StoredKey
from eventbus_gateway.auth.keys import MAX_KEY_BYTES, PREFIX, is_well_formed
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.auth.settings import ApiKeySettings
from eventbus_gateway.errors import GatewayError, KafkaUnavailable, Unauthenticated

_REFUSED = "The API key is not accepted."


class _Accepted(NamedTuple):
    principal: Principal
    expires: float


class KeyRing:
    """Establishes who calls from an API key; knows only the keys' hashes.

    Args:
        configured: keys of the configuration; one principal may have several, for rotation.
        unread: why keys of the table are not known yet, None once they are or where there is no table.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        configured: Sequence[ApiKeySettings],
        unread: Callable[[], str | None] = lambda: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._configured = {
            bytes.fromhex(key.sha256): _Accepted(Principal(key.principal, frozenset(key.roles)), math.inf)
            for key in configured
        }
        self._stored: dict[bytes, _Accepted] = {}
        self._unread = unread
        self._now = now

    def __len__(self) -> int:
        return len(self._configured) + len(self._stored)

    def __call__(self, key: bytes) -> Principal:
        """Whom a key stands for.

        Raises:
            Unauthenticated: nobody.
            KafkaUnavailable: it can be one of the table, which has not been read yet.
        """
        if not 0 < len(key) <= MAX_KEY_BYTES:
            raise Unauthenticated(_REFUSED)
        # Looking up a digest leaks at most the timing of a hash of what the caller sent, which leads to no key.
        found = hashlib.sha256(key).digest()
        accepted = self._stored.get(found) or self._configured.get(found)
        if accepted is None:
            raise self._refusal(key)
        if accepted.expires <= self._now():
            raise Unauthenticated("The API key has expired or was replaced.")
        return accepted.principal

    def replace(self, principal: str, before: Iterable[StoredKey], after: Iterable[StoredKey]) -> None:
        """Take in what the table says about a principal now.

        Args:
            principal: name of the principal.
            before: its keys until now.
            after: its keys from now on.
        """
        for key in before:
            self._stored.pop(key.sha256, None)
        for key in after:
            expires = math.inf if key.expires is None else key.expires
            self._stored[key.sha256] = _Accepted(Principal(principal, key.roles), expires)

    def _refusal(self, key: bytes) -> GatewayError:
        if not key.startswith(PREFIX):
            return Unauthenticated(_REFUSED)
        if not is_well_formed(key):
            return Unauthenticated("The API key is not complete or mistyped: its checksum is wrong.")
        reason = self._unread()
        # Whether it is known is not known: with 401 a caller would throw a good key away.
        return Unauthenticated(_REFUSED) if reason is None else KafkaUnavailable(reason, retry_after=1.0)
