"""Creating, rotating and revoking API keys: each one conditional write to the table."""

import secrets
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from eventbus_gateway.auth.key_entries import (
    Keys,
    Refused,
    StoredKey,
    from_bytes,
    live,
    rotated,
    to_bytes,
    with_another,
    without,
)
from eventbus_gateway.auth.keys import digest, new_key
from eventbus_gateway.errors import Overloaded, PreconditionFailed
from eventbus_gateway.kafka.table import ABSENT, Table

_ATTEMPTS = 5


class Issued(NamedTuple):
    """A new key, at the only moment at which it is known.

    Args:
        key: the key itself, which nobody keeps.
        stored: what is kept of it.
    """

    key: bytes
    stored: StoredKey

    def __repr__(self) -> str:
        return f"Issued({self.stored.id})"


class Held(NamedTuple):
    """A stored key and whose it is."""

    principal: str
    key: StoredKey


class KeyIssuer:
    """Changes the table of API keys.

    All methods raise what ``Table.put`` raises: Unavailable where nothing was changed, OutcomeUnknown where that is
    not known.

    Args:
        table: the table, whose view is complete.
        now: seconds since the epoch.
        reserved: whether no key may stand for a principal.
    """

    def __init__(
        self,
        table: Table,
        now: Callable[[], float] = time.time,
        reserved: Callable[[str], bool] = lambda principal: False,
    ) -> None:
        self._table = table
        self._now = now
        self._reserved = reserved

    def held(self) -> Iterator[Held]:
        """All keys that are stored, expired ones included, by principal and age."""
        for entry in sorted(self._table.items(), key=lambda entry: entry.key):
            keys = from_bytes(entry.key, entry.value) or ()
            yield from (Held(entry.key, key) for key in sorted(keys, key=lambda key: key.created))

    def foreign(self) -> list[str]:
        """Principals whose entries this version does not understand."""
        return [entry.key for entry in self._table.items() if from_bytes(entry.key, entry.value) is None]

    async def create(self, principal: str, roles: frozenset[str], lifetime: float | None) -> Issued | Refused:
        """Give a principal a further key.

        Args:
            principal: its name.
            roles: what whoever presents the key gets.
            lifetime: seconds for which it is accepted, None without end.
        """
        if self._reserved(principal):
            return Refused("Names that begin with the prefix of an issuer in auth.oidc are for its tokens.")
        issued = self._issued(roles, lifetime)

        def change(keys: Keys) -> Keys | Refused:
            return with_another(keys, issued.stored, self._now())

        refused = await self._change(principal, change)
        return refused or issued

    async def rotate(self, principal: str, grace: float, lifetime: float | None) -> Issued | Refused:
        """Give a principal a key with the roles of its newest live one, and end the oldest one after a while.

        Args:
            principal: its name.
            grace: seconds for which the oldest key is still accepted.
            lifetime: seconds for which the new one is accepted, None without end.
        """
        mine = live([held.key for held in self.held() if held.principal == principal], self._now())
        issued = self._issued(mine[-1].roles if mine else frozenset(), lifetime)

        def change(keys: Keys) -> Keys | Refused:
            return rotated(keys, issued.stored, self._now(), grace)

        refused = await self._change(principal, change)
        return refused or issued

    async def revoke(self, key_id: str) -> Held | Refused:
        """End a key at once.

        Args:
            key_id: its id.
        """
        held = next((held for held in self.held() if held.key.id == key_id), None)
        if held is None:
            return Refused("There is no key of this id.")

        def change(keys: Keys) -> Keys | Refused:
            left = without(keys, key_id)
            return Refused("There is no key of this id any more.") if left is None else left

        refused = await self._change(held.principal, change)
        return refused or held

    async def _change(self, principal: str, change: Callable[[Keys], Keys | Refused]) -> Refused | None:
        """Carry a decision out on what is there now; decides again where somebody else was faster."""
        for _ in range(_ATTEMPTS):
            entry = self._table.get(principal)
            keys = () if entry is None else from_bytes(principal, entry.value)
            if keys is None:
                return Refused("A newer version has written the principal's keys; this one cannot change them.")
            changed = change(keys)
            if isinstance(changed, Refused):
                return changed
            version = ABSENT if entry is None else entry.version
            try:
                if changed:
                    await self._table.put(principal, to_bytes(principal, changed), if_version=version)
                else:
                    await self._table.delete(principal, if_version=version)
            except PreconditionFailed:
                continue
            return None
        raise Overloaded("Others change the principal's keys at the same time.", retry_after=1.0)

    def _issued(self, roles: frozenset[str], lifetime: float | None) -> Issued:
        key, now = new_key(), self._now()
        expires = None if lifetime is None else now + lifetime
        return Issued(key, StoredKey(secrets.token_hex(8), digest(key), roles, now, expires))
