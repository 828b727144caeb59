"""What becomes of a principal's keys when somebody manages them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.auth.key_entries import (
    Refused,
    StoredKey,
    from_bytes,
    live,
    rotated,
    to_bytes,
    with_another,
    without,
)

NOW = 1_000.0


def _key(number: int, created: float = 0.0, expires: float | None = None, *roles: str) -> StoredKey:
    return StoredKey(f"{number:016x}", bytes([number]) * 32, frozenset(roles), created, expires)


def _done(changed: tuple[StoredKey, ...] | Refused) -> tuple[StoredKey, ...]:
    assert not isinstance(changed, Refused), changed.sentence
    return changed


def _sentence(changed: tuple[StoredKey, ...] | Refused) -> str:
    assert isinstance(changed, Refused)
    return changed.sentence


def test_a_principal_has_at_most_two_live_keys() -> None:
    first, second, third = _key(1), _key(2, 1.0), _key(3, 2.0)
    both = _done(with_another(_done(with_another((), first, NOW)), second, NOW))
    assert both == (first, second)
    sentence = _sentence(with_another(both, third, NOW))
    assert first.id in sentence
    assert second.id in sentence


def test_keys_that_have_expired_do_not_count_and_go() -> None:
    first, second, third = _key(1, 0.0, NOW), _key(2, 1.0, NOW + 1), _key(3, 2.0)
    assert _done(with_another((first, second), third, NOW)) == (second, third)
    assert live((first, second), NOW - 0.001) == (first, second)
    assert live((first, second), NOW) == (second,)


def test_a_rotation_ends_the_oldest_key_after_a_while() -> None:
    old, new = _key(1, 0.0, None, "writer"), _key(2, NOW)
    assert _done(rotated((old,), new, NOW, 60.0)) == (old._replace(expires=NOW + 60.0), new)
    assert _done(rotated((old,), new, NOW, 0.0)) == (new,)


def test_a_rotation_never_lets_a_key_live_longer() -> None:
    old, new = _key(1, 0.0, NOW + 10.0), _key(2, NOW)
    assert _done(rotated((old,), new, NOW, 60.0)) == (old, new)


def test_nothing_is_rotated_where_there_is_no_live_key_or_two_of_them() -> None:
    first, second, new = _key(1), _key(2), _key(3)
    assert "create one" in _sentence(rotated((), new, NOW, 60.0))
    assert "create one" in _sentence(rotated((_key(1, 0.0, NOW),), new, NOW, 60.0))
    assert "revoke one" in _sentence(rotated((first, second), new, NOW, 60.0))


def test_a_key_goes_by_its_id_alone() -> None:
    first, second = _key(1), _key(2)
    assert without((first, second), first.id) == (second,)
    assert without((first,), first.id) == ()
    assert without((first,), second.id) is None


KEYS = st.builds(
    StoredKey,
    st.text("0123456789abcdef", min_size=16, max_size=16),
    st.binary(min_size=32, max_size=32),
    st.frozensets(st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True), max_size=4),
    st.floats(0, 1e10),
    st.none() | st.floats(0, 1e10),
)


@given(st.lists(KEYS, max_size=3))
def test_an_entry_is_read_back_as_it_was_written(keys: list[StoredKey]) -> None:
    assert from_bytes("a", to_bytes("a", keys)) == tuple(keys)
    assert from_bytes("b", to_bytes("a", keys)) is None


def test_no_entry_gives_a_key_to_those_who_need_none() -> None:
    assert from_bytes("anonymous", to_bytes("anonymous", [_key(1)])) is None


@given(st.floats(0, 2_000), st.lists(KEYS, max_size=3), KEYS, st.floats(0, 1_000))
def test_no_decision_makes_a_third_live_key(now: float, keys: list[StoredKey], new: StoredKey, grace: float) -> None:
    for changed in (with_another(keys, new, now), rotated(keys, new, now, grace)):
        if not isinstance(changed, Refused):
            assert len(live(changed, now)) <= 2
            assert new in changed


def _changed(**changes: Any) -> bytes:
    entry = json.loads(to_bytes("a", [_key(1)]))
    entry["keys"][0].update({name: value for name, value in changes.items() if name not in {"format", "extra"}})
    entry.update({name: value for name, value in changes.items() if name in {"format", "extra"}})
    return json.dumps(entry).encode()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"format": 1}',
        b'{"format": 1, "principal": "a", "keys": {}}',
        b'{"format": 1, "principal": "a", "keys": [null]}',
        _changed(format=2),
        _changed(extra=1),
        _changed(scope="narrow"),
        _changed(id="x"),
        _changed(sha256="00"),
        _changed(sha256=7),
        _changed(roles="writer"),
        _changed(roles=["a b"]),
        _changed(expires="tomorrow"),
        _changed(created=None),
    ],
)
def test_an_entry_that_is_not_understood_whole_is_not_understood_at_all(value: bytes) -> None:
    assert from_bytes("a", value) is None
    assert from_bytes("a", to_bytes("a", [_key(1)])) is not None
