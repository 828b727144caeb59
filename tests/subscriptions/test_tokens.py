"""Ack tokens: short, opaque, and nothing else is taken for one."""

import base64
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventbus_gateway.subscriptions.tokens import Reference, ends, parse, parse_all, prefix, token

REFERENCES = st.builds(
    Reference,
    shard=st.integers(0, 2**16 - 1),
    acquisition=st.integers(0, 2**64 - 1),
    topic=st.integers(0, 2**16 - 1),
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    delivery_count=st.integers(1, 2**32 - 1),
)
URL_SAFE = set(string.ascii_letters + string.digits + "-_")


def text_of(reference: Reference) -> str:
    shard, acquisition, topic, partition, offset, delivery_count = reference
    return token(prefix(shard, acquisition, topic, partition), offset, delivery_count)


@given(REFERENCES)
def test_a_token_gives_its_reference_back(reference: Reference) -> None:
    text = text_of(reference)
    assert len(text) == 40
    assert set(text) <= URL_SAFE
    assert parse(text) == reference


def test_a_token_stays_what_former_versions_wrote() -> None:
    reference = Reference(3, 0xFEDCBA9876543210, 1, 11, 123_456_789_012, 2)
    assert text_of(reference) == "AAEAA_7cuph2VDIQAAEAAAALAAAAHL6ZGhQAAAAC"


@given(st.text(max_size=80))
@example("")
@example("\ud800" * 40)
@example("\u0661" * 40)
@example("=" * 40)
@example("A" * 38 + "==")
@example("AAEA" * 9 + "AAA=")
@example("AAEA" * 100_000)
@example("A" * 39 + "\n")
def test_made_up_text_is_no_token(text: str) -> None:
    assert parse(text) is None


@given(st.binary(min_size=30, max_size=30).filter(lambda raw: not raw.startswith(b"\0\1")))
def test_another_version_is_no_token(raw: bytes) -> None:
    assert parse(base64.urlsafe_b64encode(raw).decode()) is None


@given(st.binary(min_size=28, max_size=28))
def test_text_of_any_bytes_is_a_reference_or_no_token(raw: bytes) -> None:
    text = base64.urlsafe_b64encode(b"\0\1" + raw).decode()
    reference = parse(text)
    assert reference is not None
    assert text_of(reference) == text


@pytest.mark.parametrize(("url_safe", "plain"), [("-", "+"), ("_", "/")])
def test_a_token_has_one_spelling(url_safe: str, plain: str) -> None:
    text = text_of(Reference(0xFFFB, 2**64 - 1, 0xFFBE, 0, 0xFBEFBEFBEFBEFBE, 1))
    assert url_safe in text
    assert parse(text) is not None
    assert parse(text.replace(url_safe, plain, 1)) is None


@given(REFERENCES, st.integers(0, 39))
def test_a_shortened_token_is_none(reference: Reference, length: int) -> None:
    assert parse(text_of(reference)[:length]) is None


@given(
    st.lists(
        st.one_of(
            REFERENCES.map(text_of),
            st.text(max_size=50),
            st.binary(min_size=30, max_size=30).map(lambda raw: base64.urlsafe_b64encode(raw).decode()),
            st.text(alphabet=sorted(URL_SAFE | set("+/=")), min_size=40, max_size=40),
        )
    )
)
@example([])
@example(["\ud800" * 40, text_of(Reference(0, 1, 0, 0, 0, 1))])
@example(["AAEA" * 6 + "=" * 16, "AAEA" * 6 + "A" * 16])
@example(["AAEA" * 6 + "A" * 15, "AAEA" * 6 + "A" * 17])
@example(["AAEA" * 6 + "A" * 16, "AAEA" * 6 + "A" * 15, "AAEA" * 6 + "A" * 17])
@example(["AAEA" * 6 + "A" * 14 + "==", "AAEA" * 6 + "A" * 16])
@example(["AAEA" * 6 + "A" * 16, "AAEA" * 6 + "A" * 14 + "=="])
@example(["AAEA" * 6 + "A" * 16, "AAIA" * 6 + "A" * 16])
@example(["AAEA" * 6 + "A" * 16, "AQEA" * 6 + "A" * 16])
def test_many_tokens_are_understood_as_each_of_them_is(texts: list[str]) -> None:
    assert parse_all(texts) == [parse(text) for text in texts]


@given(
    st.lists(REFERENCES, max_size=20) | st.lists(REFERENCES, min_size=128, max_size=260), st.integers(0, 2**64 - 1)
)
def test_many_tokens_of_one_state_give_their_references_back(references: list[Reference], acquisition: int) -> None:
    together = [reference._replace(shard=1, acquisition=acquisition, topic=0) for reference in references]
    texts = [text_of(reference) for reference in together]
    assert parse_all(texts) == together
    start = prefix(1, acquisition, 0, 0)
    offsets, counts = [one.offset for one in references], [one.delivery_count for one in references]
    assert [(start + end).decode() for end in ends(offsets, counts)] == [
        token(start, one.offset, one.delivery_count) for one in references
    ]
