"""What the table of API keys says, taken into the ring of those that are accepted."""

import logging

from eventbus_gateway.auth.key_entries import Keys, from_bytes
from eventbus_gateway.auth.key_ring import KeyRing
from eventbus_gateway.auth.oidc.settings import is_reserved
from eventbus_gateway.auth.settings import AuthSettings
from eventbus_gateway.kafka.table import Table
from eventbus_gateway.kafka.view import Change

_logger = logging.getLogger(__name__)


class StoredKeys:
    """Keeps a ring in step with the table.

    While Kafka is away, what was known last goes on: an outage of Kafka must not lock everybody out, and nothing can
    be revoked in it either.

    Args:
        table: the table; started and closed by whoever made it.
        settings: keys that are accepted beside it.
    """

    def __init__(self, table: Table, settings: AuthSettings) -> None:
        self._table = table
        self._issuers = settings.oidc
        self._known: dict[str, Keys] = {}
        self.ring = KeyRing(settings.api_keys, self._unread)
        for entry in table.items():
            self._take(Change(entry.key, None, entry))
        table.on_change(self._take)

    def _take(self, change: Change) -> None:
        principal, entry = change.key, change.after
        after = None if entry is None else from_bytes(principal, entry.value)
        if entry is not None and after is None:
            # Without its keys rather than with those from before: the change may have ended one of them.
            _logger.error("the stored keys of %s are not understood: is a newer version running?", principal)
        if after and is_reserved(principal, self._issuers):
            _logger.error("the stored keys of %s do not count: only a token can name that principal", principal)
            after = None
        before = self._known.pop(principal, ())
        if after:
            self._known[principal] = after
        self.ring.replace(principal, before, after or ())

    def _unread(self) -> str | None:
        if self._table.is_ready:
            return None
        return self._table.trouble or "The API keys have not been read yet"
