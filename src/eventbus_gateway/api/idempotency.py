"""Answers to publishes that came with an ``Idempotency-Key``, kept for a while."""

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from eventbus_gateway.api.http import Answer
from eventbus_gateway.errors import IdempotencyKeyInUse, IdempotencyKeyReused, InvalidHeader, Overloaded

_KEY = re.compile(rb"[\x21-\x7e]{1,255}").fullmatch


class _Entry(NamedTuple):
    fingerprint: bytes
    answer: Answer | None
    since: float


Scope = tuple[str, str, bytes]


def idempotency_key(value: bytes) -> bytes:
    """The key of a request.

    Raises:
        InvalidHeader: not 1 to 255 visible ASCII characters.
    """
    if _KEY(value) is None:
        raise InvalidHeader("Idempotency-Key has 1 to 255 visible ASCII characters.")
    return value


class IdempotencyWindow:
    """Remembers, in this process, which keys are running and what the finished ones were answered.

    Args:
        window_seconds: how long an answer is kept.
        max_keys: keys remembered at the most.
        max_bytes: bytes of answers remembered at the most.
        clock: seconds, monotonic.
    """

    def __init__(
        self, window_seconds: float, max_keys: int, max_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._window = window_seconds
        self._max_keys = max_keys
        self._max_bytes = max_bytes
        self._clock = clock
        self._bytes = 0
        self._running: dict[Scope, bytes] = {}
        self._done: OrderedDict[Scope, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._running) + len(self._done)

    def begin(self, scope: Scope, fingerprint: bytes) -> Answer | None:
        """Claim a key for a request, or find the answer that it had before.

        Args:
            scope: principal, topic and key.
            fingerprint: digest of everything that makes the request what it is.

        Raises:
            IdempotencyKeyInUse: the first request is still running.
            IdempotencyKeyReused: the key belongs to another request.
            Overloaded: no further key can be remembered.
        """
        self._expire()
        known = self._running.get(scope)
        entry = self._done.get(scope)
        if known is None and entry is not None:
            known = entry.fingerprint
        if known is not None and known != fingerprint:
            raise IdempotencyKeyReused("This Idempotency-Key came with another request before.")
        if entry is not None:
            return entry.answer
        if known is not None:
            raise IdempotencyKeyInUse(
                "The first request with this Idempotency-Key is still running.", retry_after=1.0
            )
        if len(self) >= self._max_keys or self._bytes >= self._max_bytes:
            raise Overloaded("No further Idempotency-Key can be remembered.", retry_after=self._until_room())
        self._running[scope] = fingerprint
        return None

    def end(self, scope: Scope, answer: Answer | None) -> None:
        """Give a claimed key its answer, or free it with None so that the request can be tried again."""
        fingerprint = self._running.pop(scope)
        if answer is not None:
            self._done[scope] = _Entry(fingerprint, answer, self._clock())
            self._bytes += len(answer.body)

    def _expire(self) -> None:
        limit = self._clock() - self._window
        while self._done:
            scope, entry = next(iter(self._done.items()))
            if entry.since > limit:
                return
            del self._done[scope]
            if entry.answer is not None:
                self._bytes -= len(entry.answer.body)

    def _until_room(self) -> float:
        oldest = next(iter(self._done.values()), None)
        return 1.0 if oldest is None else max(1.0, oldest.since + self._window - self._clock())
