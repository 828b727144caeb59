"""One token for many hand-outs: it says exactly which they are, and nothing else is taken for one."""

import base64
import struct
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventbus_gateway.subscriptions.references import Group, References, tokens_of, understood
from eventbus_gateway.subscriptions.tokens import AnyReference, Reference, parse, token_of

OFFSETS = st.one_of(
    st.integers(0, 2**40).flatmap(lambda start: st.integers(1, 300).map(lambda n: [*range(start, start + n)])),
    st.lists(st.integers(0, 2_000), min_size=1, max_size=40, unique=True).map(sorted),
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5, unique=True).map(sorted),
)
GROUPS = st.lists(
    st.builds(
        Group,
        shard=st.just(3),
        acquisition=st.just(0xFEDCBA9876543210),
        topic=st.integers(0, 2),
        partition=st.integers(0, 3) | st.integers(0, 2**32 - 1),
        delivery_count=st.integers(1, 3) | st.integers(1, 2**32 - 1),
        offsets=OFFSETS,
    ),
    min_size=1,
    max_size=6,
)
MANY = 10_000
THREE = [Reference(3, 5, 0, 1, offset, 1) for offset in (10, 11, 300)]


def token(references: Sequence[AnyReference]) -> str:
    (text,) = tokens_of(References.of(references))
    return text


def token_for(groups: Sequence[Group]) -> str:
    (text,) = tokens_of(References(groups))
    return text


def meant(*texts: str, most: int = MANY) -> list[AnyReference] | None:
    found = understood(texts, most)
    return None if found is None else list(found.references)


@given(GROUPS)
@example([Group(3, 1, 0, 0, 1, [0, 255, 511, 512])])
@example([Group(3, 1, 0, 0, 1, [2**64 - 2, 2**64 - 1])])
@example([Group(3, 1, 0, 0, 1, range(40_000))])
@example([Group(3, 1, 0, 0, 1, [2 * offset for offset in range(40_000)])])
@example([Group(3, 1, 0, 0, 1, [5, 3, 7])])
def test_a_token_for_many_gives_their_references_back(groups: list[Group]) -> None:
    references = References(groups)
    text = token_for(references.groups)
    assert meant(text, most=len(references)) == list(references)
    assert parse(text) is None or len(references) == 1


@given(GROUPS)
def test_a_token_for_many_takes_no_more_than_theirs_do(groups: list[Group]) -> None:
    references = References(groups)
    assert len(token_for(references.groups)) <= 40 + 28 * len(references)


def test_a_hundred_events_in_a_row_take_little_more_than_one() -> None:
    assert len(token([Reference(3, 5, 0, 1, 10 + n, 1) for n in range(100)])) == 48


def test_a_token_for_many_stays_what_former_versions_wrote() -> None:
    assert token(THREE) == "AALZkULCAAMAAAAAAAAABQAAAAAAAQAAAAAAAAAKAAAAAQABAQAAAAAAAQAAAAAAAAEsAAAAAQAA"
    gaps = [Reference(3, 5, 0, 1, offset, 2) for offset in (10, 12, 15)]
    assert token(gaps) == "AAJsWAFPAAMAAAAAAAAABQAAAAAAAQAAAAAAAAAKAAAAAgACAgMA"


def test_each_state_of_a_shard_has_a_token_of_its_own() -> None:
    assert tokens_of(References(())) == []
    others = [reference._replace(acquisition=6) for reference in THREE]
    texts = tokens_of(References.of([*THREE, *others, others[0]._replace(shard=4)]))
    assert texts == [token(THREE), token(others), token_of(others[0]._replace(shard=4))]


def test_the_token_for_one_event_is_its_own() -> None:
    assert token(THREE[:1]) == token_of(THREE[0])


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 6), max_size=30))
@example([(0, 0, 0, 0, 1, 1), (0, 0, 0, 0, 1, 1)])
def test_references_in_groups_are_the_same_in_the_same_order(given_: list[AnyReference]) -> None:
    references = References.of(given_)
    assert list(references) == given_
    assert len(references) == len(given_)
    assert References.of(references) is references
    for group in references.groups:
        assert sorted(set(group.offsets)) == list(group.offsets), "each once"


@given(
    st.lists(
        st.one_of(
            GROUPS.map(token_for),
            st.builds(token_of, st.tuples(*[st.integers(0, 2**16 - 1)] * 6)),
            st.text(max_size=60),
            st.binary(min_size=31, max_size=40).map(lambda raw: base64.urlsafe_b64encode(b"\0\2" + raw).decode()),
        ),
        max_size=5,
    )
)
def test_tokens_together_mean_what_each_of_them_means(texts: list[str]) -> None:
    found = understood(texts, MANY)
    assert found is not None
    alone = [meant(text) or [] for text in texts]
    assert list(found.references) == [reference for each in alone for reference in each]
    assert list(found.counts) == list(map(len, alone))


def is_none(text: str) -> bool:
    """Whether a text is no token."""
    found = understood([text], MANY)
    assert found is not None
    return (list(found.references), list(found.counts)) == ([], [0])


@given(GROUPS, st.data())
def test_a_token_that_was_changed_in_one_place_is_none(groups: list[Group], data: st.DataObject) -> None:
    text = token_for([*groups, *groups])
    at = data.draw(st.integers(0, len(text) - 1))
    changed = data.draw(st.sampled_from("AB-_+/= 1\u0661\ud800").filter(lambda character: character != text[at]))
    assert is_none(text[:at] + changed + text[at + 1 :])


@given(GROUPS, st.integers(1, 400))
def test_a_token_that_was_cut_off_is_none(groups: list[Group], length: int) -> None:
    text = token_for([*groups, *groups])
    assert is_none(text[: -min(length, len(text))])


@pytest.mark.parametrize("more", ["A", "AAAA", "=", "====", " ", "\n", "\u0661", token(THREE)])
def test_a_token_with_something_behind_it_is_none(more: str) -> None:
    assert is_none(token(THREE) + more)


def signed(body: bytes) -> str:
    """A token with a true checksum, as whoever makes one up can make it."""
    raw = struct.pack(">2sI", b"\0\2", zlib.crc32(body)) + body
    return base64.urlsafe_b64encode(raw).decode()


WHERE = struct.pack(">HQ", 3, 5)


@pytest.mark.parametrize(
    "groups",
    [
        b"",
        bytes(2),
        struct.pack(">HIQIH", 0, 1, 2**64 - 1, 1, 0x8001),
        struct.pack(">HIQIH", 0, 1, 2**64 - 2, 1, 1) + b"\2",
        struct.pack(">HIQIH", 0, 1, 10, 1, 2) + b"\1",
        struct.pack(">HIQIH", 0, 1, 10, 1, 2) + b"\1\0",
        struct.pack(">HIQIH", 0, 1, 10, 1, 0) + b"\1",
    ],
    ids=["no groups", "less than one", "beyond", "step beyond", "step missing", "step of nothing", "more behind"],
)
def test_what_nobody_would_write_is_no_token(groups: bytes) -> None:
    body = WHERE + groups
    assert is_none(signed(body + bytes(-len(body) % 3)))


@given(st.binary(max_size=200))
def test_whatever_has_a_true_checksum_is_understood_or_no_token(body: bytes) -> None:
    found = understood([signed(body + bytes(-len(body) % 3))], MANY)
    if found is not None and found.references:
        assert meant(*tokens_of(found.references)) == list(found.references)


@pytest.mark.parametrize(("texts", "count"), [([token(THREE)], 3), ([token(THREE), token_of(THREE[0])], 4)])
def test_more_than_there_may_be_is_told_before_anything_is_made_of_it(texts: list[str], count: int) -> None:
    assert understood(texts, count) is not None
    assert understood(texts, count - 1) is None
    assert understood([token_of(THREE[0])] * count, count - 1) is None


def test_a_short_token_that_claims_many_events_is_refused_by_its_number() -> None:
    text = token([Reference(3, 5, 0, 1, offset, 1) for offset in range(32_000)])
    assert len(text) == 48
    assert understood([text] * 3, 64_000) is None
