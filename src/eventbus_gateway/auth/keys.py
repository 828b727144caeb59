"""What an API key looks like: found by secret scanners, and a mistyped one is recognised without looking it up.

``eventbus_`` says what it is and where it belongs, 43 characters of base 62 carry 256 random bits, and six more the
CRC-32 of everything before them. They are characters of a bearer token (RFC 6750 section 2.1), and a double click
selects the whole key.
"""

import hashlib
import re
import secrets
import zlib

PREFIX = b"eventbus_"
MAX_KEY_BYTES = 256
"""Longest key that is looked at; keys of the configuration can have any form."""

_ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_BYTES = 32
_RANDOM_CHARACTERS = 43
_CHECK_CHARACTERS = 6
_FORM = re.compile(rb"eventbus_[0-9A-Za-z]{%d}" % (_RANDOM_CHARACTERS + _CHECK_CHARACTERS))


def new_key() -> bytes:
    """A key that nobody has seen yet."""
    return key_of(secrets.token_bytes(_RANDOM_BYTES))


def key_of(random: bytes) -> bytes:
    """The key that carries these 32 bytes."""
    body = PREFIX + _base62(int.from_bytes(random, "big"), _RANDOM_CHARACTERS)
    return body + _check(body)


def is_well_formed(key: bytes) -> bool:
    """Whether a key can be one of :func:`new_key`: nobody has mistyped it or cut it off."""
    return _FORM.fullmatch(key) is not None and key[-_CHECK_CHARACTERS:] == _check(key[:-_CHECK_CHARACTERS])


def digest(key: bytes) -> bytes:
    """What is kept of a key. Nobody can try out 256 random bits, so it needs neither salt nor a slow function."""
    return hashlib.sha256(key).digest()


def _check(body: bytes) -> bytes:
    return _base62(zlib.crc32(body), _CHECK_CHARACTERS)


def _base62(number: int, characters: int) -> bytes:
    digits = bytearray()
    for _ in range(characters):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return bytes(reversed(digits))
