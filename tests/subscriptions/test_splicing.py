"""What is looked at quickly is taken for JSON only where orjson takes it, too."""

import json
from collections.abc import Callable, Sequence

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eventbus_gateway.subscriptions.splicing import all_checked, checked, in_line

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
SIGNS = [bytes([sign]) for sign in b'{}[]",:\\-.0 \n\x00\x1f\x7f\xff']
WORDS = [
    b"\\ud800",
    b"\\u0000",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xef\xbc\x81",
    b"\xc0\x80",
    b"1e999",
    b"9" * 20,
    b"e5",
]
PIECES = st.sampled_from([*SIGNS, *WORDS])
BORDERS = [b"\xef\xbb\xbf{}", b"1e999", b"[1],[2]", b"", b" ", b"1" * 400, b"18446744073709551616", b"-0", b"NaN"]
DEEP = [b"[" * depth + b"]" * depth for depth in (1_023, 1_024, 1_025)]
LONG = [b'"%b"' % (b"x" * size) for size in (65_533, 65_534, 65_535, 200_000)]


def taken(check: Callable[[bytes], object], text: bytes) -> bool:
    try:
        check(text)
    except orjson.JSONDecodeError:
        return False
    return True


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """JSON text, or what is left of it."""
    text = json.dumps(draw(VALUES), ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")
    for piece in draw(st.lists(PIECES, max_size=3)):
        start, length = draw(st.integers(0, len(text))), draw(st.integers(0, 2))
        text = text[:start] + piece + text[start + length :]
    return text


@settings(max_examples=1_000)
@given(damaged())
@example(b"\xef\xbb\xbf{}")
def test_a_text_is_taken_if_orjson_takes_it(text: bytes) -> None:
    assert taken(checked, text) == taken(orjson.loads, text)


@pytest.mark.parametrize("text", BORDERS + DEEP + LONG)
def test_a_text_at_the_border_of_json_is_taken_if_orjson_takes_it(text: bytes) -> None:
    assert taken(checked, text) == taken(orjson.loads, text)


@settings(max_examples=300)
@given(st.lists(damaged(), min_size=1, max_size=5))
@example([b"[1", b"2]"])
@example([b"1,2"])
@example([b"{}", b"\xef\xbb\xbf{}"])
def test_texts_are_taken_together_if_orjson_takes_each(texts: Sequence[bytes]) -> None:
    try:
        assert list(all_checked(texts)) == [in_line(text) for text in texts]
    except orjson.JSONDecodeError:
        assert not all(taken(orjson.loads, text) for text in texts)
    else:
        assert all(taken(orjson.loads, text) for text in texts)
