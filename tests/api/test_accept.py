"""Which media type a caller gets."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.api.accept import preferred
from eventbus_gateway.errors import NotAcceptable

JSON, LINES, STREAM = b"application/json", b"application/x-ndjson", b"text/event-stream"
OFFERED = [JSON, LINES, STREAM]


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        (b"", JSON),
        (b"*/*", JSON),
        (b"application/*", JSON),
        (b"text/*", STREAM),
        (b"application/x-ndjson", LINES),
        (b"Application/X-NDJSON", LINES),
        (b"text/event-stream", STREAM),
        (b"text/event-stream;charset=utf-8", STREAM),
        (b"text/html, application/xhtml+xml, */*;q=0.8", JSON),
        (b"application/json;q=0.5, application/x-ndjson", LINES),
        (b"application/json;q=0.5, application/x-ndjson;q=0.50", JSON),
        (b"*/*, application/json;q=0", LINES),
        (b"*/*;q=0.1, text/event-stream", STREAM),
        (b"text/event-stream ; q=1.000 , application/json ; q=0.999", STREAM),
        (b"nonsense, application/x-ndjson", LINES),
    ],
)
def test_the_most_wanted_type_is_given(accept: bytes | None, chosen: bytes) -> None:
    assert preferred(accept, OFFERED) == chosen


@pytest.mark.parametrize(
    "accept",
    [b"text/html", b"*/*;q=0", b"application/json;q=0", b"application/xml, image/*", b"json", b",", b"a/b/c"],
)
def test_a_caller_who_takes_none_is_told_what_there_is(accept: bytes) -> None:
    with pytest.raises(NotAcceptable) as refused:
        preferred(accept, OFFERED)
    assert all(media.decode() in refused.value.detail for media in OFFERED)


@given(st.binary(max_size=100))
def test_no_header_breaks_it(accept: bytes) -> None:
    with contextlib.suppress(NotAcceptable):
        assert preferred(accept, OFFERED) in OFFERED
