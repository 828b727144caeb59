"""Failed look-ups, remembered for a while so that they are not repeated for every request."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

from eventbus_gateway.errors import (
    GatewayError,
    RegistryUnavailable,
    SchemaMissing,
    SchemaUnusable,
    UnknownSchemaVersion,
)
from eventbus_gateway.schemas.settings import RegistrySettings

Rememberable = RegistryUnavailable | SchemaMissing | SchemaUnusable | UnknownSchemaVersion


class _Refusal(NamedTuple):
    kind: type[Rememberable]
    detail: str
    until: float


class Refusals:
    """What failed last, by key; the one unused for longest goes first.

    Args:
        settings: how long and how many.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._kept: OrderedDict[Hashable, _Refusal] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def remember(self, key: Hashable, error: Rememberable, now: float) -> GatewayError:
        """Keep a failure for its time and return it as callers shall see it.

        Args:
            key: what was looked up.
            error: how that failed.
            now: monotonic seconds.
        """
        until = now + pause_after(error, self._settings)
        refusal = self._kept[key] = _Refusal(type(error), error.detail, until)
        self._kept.move_to_end(key)
        if len(self._kept) > self._settings.max_subjects:
            self._kept.popitem(last=False)
        return _error(refusal, now)

    def check(self, key: Hashable, now: float) -> None:
        """Pass when the look-up may be made.

        Args:
            key: what is to be looked up.
            now: monotonic seconds.

        Raises:
            RegistryUnavailable, SchemaMissing, SchemaUnusable, UnknownSchemaVersion: as it failed before.
        """
        refusal = self._kept.get(key)
        if refusal is None:
            return
        if refusal.until <= now:
            del self._kept[key]
            return
        self._kept.move_to_end(key)
        raise _error(refusal, now)


def pause_after(error: GatewayError, settings: RegistrySettings) -> float:
    """Seconds before what failed is tried again."""
    if isinstance(error, RegistryUnavailable):
        return max(settings.retry_seconds, error.retry_after or 0.0)
    return settings.missing_ttl_seconds


def _error(refusal: _Refusal, now: float) -> GatewayError:
    """A new error each time: raising one object again and again would grow its traceback without end."""
    return refusal.kind(refusal.detail, retry_after=refusal.until - now)
