"""Signatures of webhooks: Standard Webhooks 1.0.0, version ``v1`` (HMAC-SHA256).

What is signed is ``{id}.{timestamp}.{body}``. So that this text can be taken apart in one way only, an id has no dot
and a timestamp nothing but digits.
"""

import hmac
import re
import time
from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from hashlib import sha256
from typing import Final, Self

from eventbus_gateway.base64_text import base64_text, decoded

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"

PREFIX: Final = "whsec_"
MIN_SECRET_BYTES: Final = 24
MAX_SECRET_BYTES: Final = 64
TOLERANCE_SECONDS: Final = 300.0

# Block size of SHA-256 and the two pads (RFC 2104 section 2). No secret is longer than a block, so none is hashed.
_BLOCK_BYTES = 64
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))

# Printable ASCII without space and dot.
_id = re.compile(r"[!-\-/-~]{1,256}").fullmatch
_timestamp = re.compile(r"[0-9]{1,15}").fullmatch


class InvalidSecret(ValueError):
    """A text is no signing secret; the message says what one looks like and quotes nothing."""


class Secret:
    """A key that signs.

    Args:
        key: 24 to 64 bytes (Standard Webhooks, section "Signature scheme").

    Raises:
        InvalidSecret: it is shorter or longer.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
            raise InvalidSecret(f"must have {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes behind {PREFIX}")
        self._key = key

    @classmethod
    def parse(cls, text: str) -> Self:
        """The secret that a text stands for.

        Args:
            text: ``whsec_`` and base64 with padding.

        Raises:
            InvalidSecret: it stands for none.
        """
        key = decoded(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else None
        if key is None:
            raise InvalidSecret(f"must be {PREFIX} and base64")
        return cls(key)

    def reveal(self) -> str:
        """The text that ``parse`` takes, for its owner only."""
        return PREFIX + base64_text(self._key)

    def mac(self) -> Callable[[bytes], bytes]:
        """HMAC-SHA256 under this secret, for contents.

        The two hashes have taken in their pads already and are copied for each content, which takes half the time of
        ``hmac.digest`` and three quarters of the time of copying an ``hmac`` object.
        """
        block = self._key.ljust(_BLOCK_BYTES, b"\0")
        copy_inner = sha256(block.translate(_INNER_PAD)).copy
        copy_outer = sha256(block.translate(_OUTER_PAD)).copy

        def mac(content: bytes) -> bytes:
            inner, outer = copy_inner(), copy_outer()
            inner.update(content)
            outer.update(inner.digest())
            return outer.digest()

        return mac

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._key, other._key)

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return "Secret(…)"


class Signer:
    """Signs the deliveries of one receiver.

    Args:
        secrets: the newest first; all of them sign, so that a receiver can change over while both count.

    Raises:
        ValueError: there is none.
    """

    __slots__ = ("_macs",)

    def __init__(self, secrets: Sequence[Secret]) -> None:
        if not secrets:
            raise ValueError("a signer needs a secret")
        self._macs = [secret.mac() for secret in secrets]

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        """The value of ``webhook-signature``.

        Args:
            message_id: value of ``webhook-id``, the same for each attempt at a delivery.
            timestamp: value of ``webhook-timestamp``, seconds since the epoch at this attempt.
            body: what is sent, byte by byte.

        Raises:
            ValueError: the id is empty, has a dot or is more than printable ASCII, or the timestamp is negative.
        """
        if _id(message_id) is None:
            raise ValueError("an id is 1 to 256 printable ASCII characters without a dot")
        if timestamp < 0:
            raise ValueError("a timestamp is not negative")
        content = b"%b.%d.%b" % (message_id.encode("ascii"), timestamp, body)
        return " ".join([f"v1,{base64_text(mac(content))}" for mac in self._macs])

    def headers(self, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """The three headers of a delivery; see ``sign``."""
        return {
            ID_HEADER: message_id,
            TIMESTAMP_HEADER: str(timestamp),
            SIGNATURE_HEADER: self.sign(message_id, timestamp, body),
        }


class Verdict(Enum):
    """What a receiver thinks of a request; the value is a sentence for people."""

    VALID = "the signature is valid"
    MISSING_HEADER = "webhook-id, webhook-timestamp or webhook-signature is missing"
    INVALID_ID = "webhook-id is not printable ASCII without a dot"
    INVALID_TIMESTAMP = "webhook-timestamp is not in whole seconds since 1970"
    TOO_OLD = "webhook-timestamp is too old: it was sent long ago, or the clocks differ"
    TOO_NEW = "webhook-timestamp lies in the future: the clocks differ"
    WRONG_SIGNATURE = "no v1 signature in webhook-signature was made with the secret, of this id, timestamp and body"


class Verifier:
    """Verifies requests as their receiver.

    Args:
        secrets: those that may have signed; one is enough.
        tolerance_seconds: by how much the timestamp may differ from the clock, in both directions.
        clock: seconds since the epoch.

    Raises:
        ValueError: there is no secret.
    """

    __slots__ = ("_clock", "_macs", "_tolerance")

    def __init__(
        self,
        secrets: Sequence[Secret],
        tolerance_seconds: float = TOLERANCE_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not secrets:
            raise ValueError("a verifier needs a secret")
        self._macs = [secret.mac() for secret in secrets]
        self._tolerance = tolerance_seconds
        self._clock = clock

    def verify(self, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Whether one of the secrets signed a request, and lately.

        Args:
            headers: of the request, by names in lower case or in any case.
            body: as it came.
        """
        message_id, timestamp = headers.get(ID_HEADER), headers.get(TIMESTAMP_HEADER)
        signatures = headers.get(SIGNATURE_HEADER)
        if not message_id or not timestamp or not signatures:
            return Verdict.MISSING_HEADER
        if _id(message_id) is None:
            return Verdict.INVALID_ID
        if _timestamp(timestamp) is None:
            return Verdict.INVALID_TIMESTAMP
        age = self._clock() - int(timestamp)
        if age > self._tolerance:
            return Verdict.TOO_OLD
        if age < -self._tolerance:
            return Verdict.TOO_NEW
        content = b"%b.%b.%b" % (message_id.encode("ascii"), timestamp.encode("ascii"), body)
        return Verdict.VALID if self._signed(content, signatures) else Verdict.WRONG_SIGNATURE

    def _signed(self, content: bytes, signatures: str) -> bool:
        expected = [b2a_base64(mac(content), newline=False) for mac in self._macs]
        for signature in signatures.split(" "):
            version, _, text = signature.partition(",")
            given = text.encode("utf-8", "replace")
            if version == "v1" and any(hmac.compare_digest(given, each) for each in expected):
                return True
        return False
