"""The keys of one principal as they are stored, and what becomes of them when somebody manages them.

A principal has one entry, so that a change of it is one conditional write: two who create a key at the same time
cannot end with three live ones.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from eventbus_gateway.auth.principal import ANONYMOUS

MAX_LIVE_KEYS = 2
"""One that is in use, and one that takes its place."""

_FORMAT = 1
_MEMBERS = frozenset({"id", "sha256", "roles", "created", "expires"})
_ID = re.compile(r"[0-9a-f]{16}")
_HASH = re.compile(r"[0-9a-f]{64}")
_ROLE = re.compile(r"[A-Za-z0-9._-]{1,64}")


class StoredKey(NamedTuple):
    """What is kept of a key.

    Args:
        id: by which people name it; says nothing about the key.
        sha256: its hash.
        roles: what whoever presents it gets.
        created: seconds since the epoch.
        expires: the same, None where it does not.
    """

    id: str
    sha256: bytes
    roles: frozenset[str]
    created: float
    expires: float | None

    def is_live(self, now: float) -> bool:
        """Whether it is accepted at this time, in seconds since the epoch."""
        return self.expires is None or now < self.expires


class Refused(NamedTuple):
    """Why a change is not made.

    Args:
        sentence: for people.
    """

    sentence: str


Keys = tuple[StoredKey, ...]


def live(keys: Sequence[StoredKey], now: float) -> Keys:
    """Those that are accepted, the oldest first."""
    return tuple(sorted((key for key in keys if key.is_live(now)), key=lambda key: key.created))


def with_another(keys: Sequence[StoredKey], key: StoredKey, now: float) -> Keys | Refused:
    """The keys with a further one; what has expired goes."""
    kept = live(keys, now)
    if len(kept) >= MAX_LIVE_KEYS:
        ids = " and ".join(each.id for each in kept)
        return Refused(f"The principal has {MAX_LIVE_KEYS} live keys already, {ids}: revoke one first.")
    return (*kept, key)


def rotated(keys: Sequence[StoredKey], key: StoredKey, now: float, grace: float) -> Keys | Refused:
    """The keys with one that takes the place of the oldest, which goes on for a while.

    Args:
        keys: all keys of the principal.
        key: the new one.
        now: seconds since the epoch.
        grace: seconds for which the oldest one is still accepted, if it does not expire before.
    """
    kept = live(keys, now)
    if not kept:
        return Refused("The principal has no live key that could be rotated: create one.")
    changed = with_another(keys, key, now)
    if isinstance(changed, Refused):
        return changed
    oldest = kept[0]
    ends = now + grace if oldest.expires is None else min(oldest.expires, now + grace)
    rest = changed[1:]
    return (oldest._replace(expires=ends), *rest) if grace > 0 else rest


def without(keys: Sequence[StoredKey], key_id: str) -> Keys | None:
    """The keys without one of them, None where it is not among them."""
    left = tuple(key for key in keys if key.id != key_id)
    return None if len(left) == len(keys) else left


def to_bytes(principal: str, keys: Sequence[StoredKey]) -> bytes:
    """An entry of the table."""
    shown = [
        {
            "id": key.id,
            "sha256": key.sha256.hex(),
            "roles": sorted(key.roles),
            "created": key.created,
            "expires": key.expires,
        }
        for key in keys
    ]
    return orjson.dumps({"format": _FORMAT, "principal": principal, "keys": shown})


def from_bytes(principal: str, value: bytes) -> Keys | None:
    """The keys in a principal's entry, None where this version does not understand all of it.

    Half an entry would be worse than none: what it leaves out may be what ends a key. And no key stands for those who
    need none.
    """
    if principal == ANONYMOUS.name:
        return None
    try:
        entry = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    is_known = isinstance(entry, dict) and entry.keys() == {"format", "principal", "keys"}
    if not is_known or entry["format"] != _FORMAT or entry["principal"] != principal:
        return None
    if not isinstance(entry["keys"], list):
        return None
    keys = [_key(item) for item in entry["keys"]]
    found = tuple(key for key in keys if key is not None)
    return found if len(found) == len(keys) else None


def _key(item: Any) -> StoredKey | None:
    if not isinstance(item, dict) or item.keys() != _MEMBERS:
        return None
    roles, created, expires = item["roles"], item["created"], item["expires"]
    is_sound = (
        _matches(_ID, item["id"])
        and _matches(_HASH, item["sha256"])
        and isinstance(roles, list)
        and all(_matches(_ROLE, role) for role in roles)
        and isinstance(created, int | float)
        and (expires is None or isinstance(expires, int | float))
    )
    if not is_sound:
        return None
    return StoredKey(item["id"], bytes.fromhex(item["sha256"]), frozenset(roles), created, expires)


def _matches(pattern: re.Pattern[str], text: Any) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None
