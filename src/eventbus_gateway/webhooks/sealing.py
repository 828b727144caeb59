"""Secrets as they are stored: encrypted, and bound to the place that they belong to.

A sealed text is URL-safe base64 of version (1 byte), nonce (12), ciphertext and tag (16): AES-256-GCM under a random
nonce (NIST SP 800-38D). One key may seal 2**32 texts (section 8.3), far more than there are secrets.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from eventbus_gateway.base64_text import decoded, url_decoded, url_encoded

KEY_BYTES = 32
MAX_KEYS = 8

_VERSION = b"\1"
_NONCE_BYTES = 12
_TAG_BYTES = 16
_HEAD_BYTES = len(_VERSION) + _NONCE_BYTES


class InvalidKeys(ValueError):
    """A text is no list of keys; the message completes a sentence about it and quotes nothing."""


class SealBroken(Exception):
    """A text cannot be opened: changed, sealed for another place, or with a key that is not there.

    Which of them cannot be told apart, and need not be.
    """


@dataclass(frozen=True, slots=True)
class Opened:
    """What was sealed.

    Args:
        secret: its text.
        current: whether the first key sealed it; otherwise it should be sealed again before that key goes.
    """

    secret: str = field(repr=False)
    current: bool


class Sealer:
    """Seals and opens secrets.

    Args:
        keys: of 32 bytes each; the first one seals, all of them open.
        random: makes so many unpredictable bytes.

    Raises:
        InvalidKeys: there is none, there are too many, or one has another size.
    """

    __slots__ = ("_broken", "_ciphers", "_random")

    def __init__(self, keys: Sequence[bytes], random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        # 6 MiB of memory, and most processes seal nothing.
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        _check(keys)
        self._ciphers = [AESGCM(key) for key in keys]
        self._broken = InvalidTag
        self._random = random

    def seal(self, secret: str, subscription_id: str, purpose: str) -> str:
        """The text to store.

        Args:
            secret: what nobody may read.
            subscription_id: of the subscription that it belongs to.
            purpose: what it is for there.
        """
        nonce = self._random(_NONCE_BYTES)
        sealed = self._ciphers[0].encrypt(nonce, secret.encode(), _place(subscription_id, purpose))
        return url_encoded(_VERSION + nonce + sealed)

    def open(self, sealed: str, subscription_id: str, purpose: str) -> Opened:
        """What was sealed for this place.

        Args:
            sealed: what ``seal`` made.
            subscription_id: as it was sealed.
            purpose: as it was sealed.

        Raises:
            SealBroken: it cannot be opened.
        """
        raw = url_decoded(sealed)
        if raw is None or not raw.startswith(_VERSION) or len(raw) < _HEAD_BYTES + _TAG_BYTES:
            raise SealBroken
        nonce, content = raw[len(_VERSION) : _HEAD_BYTES], raw[_HEAD_BYTES:]
        place = _place(subscription_id, purpose)
        for at, cipher in enumerate(self._ciphers):
            try:
                return Opened(cipher.decrypt(nonce, content, place).decode(), at == 0)
            except self._broken:
                continue
        raise SealBroken


def parse_keys(text: str) -> tuple[bytes, ...]:
    """The keys of a configuration.

    Args:
        text: base64 of 32 random bytes each, with spaces between them.

    Raises:
        InvalidKeys: it is something else.
    """
    keys = [decoded(word) for word in text.split()]
    whole = tuple(key for key in keys if key is not None)
    if len(whole) != len(keys):
        raise InvalidKeys(_SHAPE)
    _check(whole)
    if any(len(set(key)) == 1 for key in whole):
        raise InvalidKeys("must be random: one repeats a single byte")
    return whole


_SHAPE = f"must be one to {MAX_KEYS} keys of {KEY_BYTES} bytes in base64, separated by spaces"


def _check(keys: Sequence[bytes]) -> None:
    if not 1 <= len(keys) <= MAX_KEYS or any(len(key) != KEY_BYTES for key in keys):
        raise InvalidKeys(_SHAPE)
    if len(set(keys)) != len(keys):
        raise InvalidKeys("has the same key twice")


def _place(subscription_id: str, purpose: str) -> bytes:
    """Subscription and purpose; the length in between keeps one from being taken for the start of the other."""
    name = subscription_id.encode()
    return b"%b%d:%b%b" % (_VERSION, len(name), name, purpose.encode())
