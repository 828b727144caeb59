"""No secret and no payload appears in what the suite says.

Tests mark their secrets and payloads, by :func:`marked` or by having ``s3cret`` in them. What is said in places where
neither belongs goes to :func:`heard`: log records, access logs, child processes' output, error answers, metrics.
After each test, with everything torn down that ends with it, what was heard is searched; a test with a leak fails.

It works as a plugin of pytest, also by itself: ``-p tests.leaks``.
"""

import base64
import logging
from collections.abc import Generator
from typing import NamedTuple

import httpx2
import pytest

from eventbus_gateway.logs import JsonLines

MARK = b"s3cret"
SHORTEST = 8
"""Characters of a marked value at the least: shorter ones appear by chance."""


class Leak(NamedTuple):
    """A marked value where it does not belong.

    Args:
        name: which value; never the value itself.
        place: where it was heard.
    """

    name: str
    place: str


class _Ear(logging.Handler):
    """Hears every log record, formatted as a gateway in production does it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(JsonLines())

    def emit(self, record: logging.LogRecord) -> None:
        # What the clients and servers of tests say about their own requests does not count.
        if record.name.startswith("eventbus_gateway"):
            heard(f"the log of {record.name}", self.format(record))


_marked: dict[bytes, str] = {MARK: "a value with the mark of all secrets in it"}
_said: list[tuple[str, bytes]] = []
_ear = _Ear()


def marked(value: str, name: str) -> str:
    """Mark a secret or a payload; returns it.

    Args:
        value: the text, which is looked for as it is and in base64.
        name: what to call it when it leaks.
    """
    assert len(value) >= SHORTEST, name
    for form in _forms(value.encode()):
        _marked[form] = name
    return value


def heard(place: str, said: str | bytes) -> None:
    """Something was said where no secret and no payload belongs."""
    if said:
        _said.append((place, said.encode(errors="surrogateescape") if isinstance(said, str) else said))


def heard_answer(response: httpx2.Response) -> None:
    """A client got an answer: those that are errors are heard, body and headers."""
    if response.is_error:
        response.read()
        heard(f"the answer {response.status_code}", repr(response.headers))
        heard(f"the answer {response.status_code}", response.content)


def found() -> list[Leak]:
    """The leaks in what was heard since the last time."""
    said = _said.copy()
    del _said[: len(said)]
    # Nearly all that is heard has nothing in it: one search of all of it for each value tells.
    whole = b"\n".join(text for _, text in said)
    names = [form for form in _marked if form in whole]
    return sorted({Leak(_marked[form], place) for form in names for place, text in said if form in text})


def _forms(value: bytes) -> list[bytes]:
    """The value, and what of its base64 does not depend on what stands beside it, for each way to begin."""
    encoded = [base64.b64encode(bytes(shift) + value)[(0, 2, 3)[shift] :].rstrip(b"=")[:-1] for shift in range(3)]
    return [value, *(form for form in encoded if len(form) >= SHORTEST)]


def pytest_configure() -> None:
    """Listen to everything that is logged, however unimportant."""
    logging.getLogger().addHandler(_ear)
    logging.getLogger("eventbus_gateway").setLevel(logging.DEBUG)


def pytest_unconfigure() -> None:
    """Listen no longer."""
    logging.getLogger().removeHandler(_ear)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test that, or whose fixtures, let something out."""
    try:
        yield
    finally:
        leaks = found()
    if leaks:
        lines = "\n".join(f"  {leak.name}, in {leak.place}" for leak in leaks)
        pytest.fail(f"{item.name} leaks:\n{lines}", pytrace=False)
