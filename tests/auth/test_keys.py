"""What API keys look like."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.auth.keys import digest, is_well_formed, key_of, new_key

# The letters and digits of base 62, and what a key of zeros must be: worked out apart from the code.
_ZEROS = b"eventbus_" + b"0" * 43


def test_a_key_says_what_it_is_in_characters_of_a_bearer_token() -> None:
    # RFC 6750 section 2.1: b64token
    assert re.fullmatch(rb"eventbus_[0-9A-Za-z]{49}", new_key())


def test_the_checksum_is_the_crc_32_of_everything_before_it_in_base_62() -> None:
    key = key_of(bytes(32))
    assert key[:52] == _ZEROS
    number = 0
    for character in key[52:].decode():
        number = number * 62 + "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".index(character)
    # The CRC-32 of IEEE 802.3, bit by bit
    crc = 0xFFFFFFFF
    for byte in _ZEROS:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    assert number == crc ^ 0xFFFFFFFF


def test_keys_do_not_repeat() -> None:
    assert len({new_key() for _ in range(1_000)}) == 1_000


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_each_random_number_has_a_key_of_its_own(one: bytes, other: bytes) -> None:
    assert is_well_formed(key_of(one))
    assert (key_of(one) == key_of(other)) is (one == other)
    assert (digest(key_of(one)) == digest(key_of(other))) is (one == other)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 57), st.integers(0, 255))
def test_one_wrong_character_is_noticed(random: bytes, at: int, wrong: int) -> None:
    key = bytearray(key_of(random))
    is_same = key[at] == wrong
    key[at] = wrong
    assert is_well_formed(bytes(key)) is is_same


@given(st.binary(min_size=32, max_size=32), st.integers(9, 56))
def test_two_neighbours_that_changed_places_are_noticed(random: bytes, at: int) -> None:
    key = bytearray(key_of(random))
    is_same = key[at] == key[at + 1]
    key[at], key[at + 1] = key[at + 1], key[at]
    assert is_well_formed(bytes(key)) is is_same


@pytest.mark.parametrize(
    "key", [b"", b"eventbus_", b"eventbus_" + b"0" * 49, b"x" * 58, b"\xff" * 58, b"0" * 100_000]
)
def test_what_is_no_key_is_not_well_formed(key: bytes) -> None:
    assert not is_well_formed(key)


@given(st.binary(max_size=80))
def test_a_part_of_a_key_and_more_than_a_key_are_not_well_formed(more: bytes) -> None:
    key = new_key()
    assert is_well_formed(key + more) is (more == b"")
    assert not is_well_formed(key[: len(more) % len(key)])
