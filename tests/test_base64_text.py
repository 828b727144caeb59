"""Base64 in one spelling."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventbus_gateway.base64_text import base64_text, decoded, url_decoded, url_encoded


@given(st.binary(max_size=70))
@settings(max_examples=100)
def test_both_spellings_are_those_of_the_standard_library(raw: bytes) -> None:
    assert base64_text(raw) == base64.b64encode(raw).decode()
    assert url_encoded(raw) == base64.urlsafe_b64encode(raw).decode().rstrip("=")
    assert decoded(base64_text(raw)) == url_decoded(url_encoded(raw)) == raw


@given(st.text("ABCQgw09+/-_=\n ä", max_size=9))
@settings(max_examples=200)
def test_what_decodes_is_what_would_be_encoded(text: str) -> None:
    for read, write in ((decoded, base64_text), (url_decoded, url_encoded)):
        raw = read(text)
        assert raw is None or write(raw) == text


@pytest.mark.parametrize("text", ["+/8", "-_8=", "-_9", "-", "-_8\n", "-_ 8", "ä"])
def test_another_spelling_is_not_decoded(text: str) -> None:
    assert url_decoded("-_8") == b"\xfb\xff"
    assert url_decoded(text) is None


@pytest.mark.parametrize("text", ["-_8=", "+/8", "+/9=", "+/8==", "+/8=+/8=", "=", "+/8=\n", "ä"])
def test_another_plain_spelling_is_not_decoded(text: str) -> None:
    assert decoded("+/8=") == b"\xfb\xff"
    assert decoded(text) is None
