"""Content encodings and media types by themselves."""

import gzip
import time
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventbus_gateway.api.body import Media, decoded, media_type
from eventbus_gateway.errors import (
    BodyTooLarge,
    InvalidContentEncoding,
    UnsupportedEncoding,
    UnsupportedMediaType,
)

LIMIT = 1_000_000


def _decoded(body: bytes, encoding: bytes | None = b"gzip", limit: int = LIMIT, ratio: int = 100) -> bytes:
    return decoded(body, encoding, limit, ratio)


@pytest.mark.parametrize("encoding", [None, b"identity", b"Identity", b" identity "])
def test_a_body_without_encoding_is_what_it_is(encoding: bytes | None) -> None:
    assert _decoded(b"text", encoding) == b"text"
    assert _decoded(b"x" * 10, encoding, limit=10) == b"x" * 10
    with pytest.raises(BodyTooLarge):
        _decoded(b"x" * 11, encoding, limit=10)


@pytest.mark.parametrize("encoding", [b"gzip", b"GZIP", b"x-gzip", b" gzip "])
def test_gzip_is_decompressed(encoding: bytes) -> None:
    assert _decoded(gzip.compress(b"text"), encoding) == b"text"


@pytest.mark.parametrize("encoding", [b"", b"deflate", b"br", b"zstd", b"gzip, gzip", b"gzip,identity", b"chunked"])
def test_other_encodings_are_refused(encoding: bytes) -> None:
    with pytest.raises(UnsupportedEncoding):
        _decoded(gzip.compress(b"text"), encoding)


def test_a_stream_may_have_several_members() -> None:
    assert _decoded(gzip.compress(b"a") + gzip.compress(b"") + gzip.compress(b"b")) == b"ab"


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=16))
def test_whatever_was_compressed_comes_back(members: list[bytes]) -> None:
    assert _decoded(b"".join(map(gzip.compress, members))) == b"".join(members)


# Without the time in its head: parts of it name tests.
WHOLE = gzip.compress(b"some text that is long enough to be compressed " * 20, mtime=0)


@pytest.mark.parametrize("end", range(len(WHOLE)))
def test_a_stream_that_is_cut_off_anywhere_is_refused(end: int) -> None:
    with pytest.raises(InvalidContentEncoding):
        _decoded(WHOLE[:end])
    if end:
        with pytest.raises(InvalidContentEncoding):
            _decoded(WHOLE + WHOLE[:end])


@pytest.mark.parametrize(
    "body", [b"", b"plain text", WHOLE + b"\0", WHOLE[:-5] + b"\xff" + WHOLE[-4:], zlib.compress(b"x"), b"\x1f\x8b"]
)
def test_what_is_no_gzip_stream_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidContentEncoding):
        _decoded(body)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(InvalidContentEncoding):
        _decoded(b"\x1f\x8b\x08" + body)


def test_the_result_may_fill_its_bound_and_not_exceed_it() -> None:
    body = gzip.compress(b"x" * 2_000)
    assert _decoded(body, limit=2_000) == b"x" * 2_000
    with pytest.raises(BodyTooLarge, match="1999 bytes"):
        _decoded(body, limit=1_999)


def test_the_bound_holds_for_all_members_together() -> None:
    member = gzip.compress(b"x" * 1_000)
    assert len(_decoded(member * 2, limit=2_000)) == 2_000
    with pytest.raises(BodyTooLarge):
        _decoded(member * 2, limit=1_999)
    with pytest.raises(BodyTooLarge):
        _decoded(member * 2 + gzip.compress(b"x"), limit=2_000)


def test_a_body_may_not_grow_beyond_its_ratio() -> None:
    bomb = gzip.compress(b"\0" * 500_000)
    with pytest.raises(BodyTooLarge, match="100 times"):
        _decoded(bomb)
    assert len(_decoded(bomb, ratio=1_000)) == 500_000


def test_small_bodies_may_grow_as_they_like() -> None:
    assert len(_decoded(gzip.compress(b"\0" * 65_000), ratio=2)) == 65_000


def test_a_bomb_is_not_unpacked_before_it_is_refused() -> None:
    bomb = gzip.compress(b"\0" * 300_000_000, compresslevel=1)
    started = time.process_time()
    with pytest.raises(BodyTooLarge):
        _decoded(bomb)
    assert time.process_time() - started < 0.3


def test_thousands_of_empty_members_cost_next_to_nothing() -> None:
    many = gzip.compress(b"") * 50_000
    started = time.process_time()
    with pytest.raises(InvalidContentEncoding, match="16 members"):
        _decoded(many)
    assert time.process_time() - started < 0.3


@pytest.mark.parametrize("media", list(Media))
@pytest.mark.parametrize(
    "form", ["%s", " %s ", "%s;charset=utf-8", '%s ; charset="UTF-8" ; q=1', "%s;", "%s; profile=x"]
)
def test_a_supported_media_type_is_known_in_every_spelling(media: Media, form: str) -> None:
    assert media_type((form % media.media_type).encode()) is media
    assert media_type((form % media.media_type.upper()).encode()) is media


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b";",
        b"json",
        b"text/json",
        b"application/jsonp",
        b"application/vnd.note+json",
        b"application/json, text/plain",
        b"application/json; charset=latin1",
        b"application/x-ndjson; Charset='utf-8'",
        b"\xff",
    ],
)
def test_another_media_type_is_refused_without_being_repeated(value: bytes | None) -> None:
    with pytest.raises(UnsupportedMediaType) as refused:
        media_type(value)
    for word in (b"jsonp", b"vnd.note", b"latin1", b"text/"):
        assert word.decode() not in str(refused.value)


def test_batches_are_told_from_single_events() -> None:
    assert [media for media in Media if media.is_batch] == [Media.CLOUDEVENTS_BATCH, Media.NDJSON]
