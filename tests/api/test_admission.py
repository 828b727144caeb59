"""The bounds on what is worked on at the same time."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.api.admission import Admission
from eventbus_gateway.api.exchange import Exchange, answered
from eventbus_gateway.api.http import Request
from eventbus_gateway.errors import BodyTooLarge, Overloaded


def exchange(body_limit: int = 100) -> Exchange:
    return Exchange(Request("POST", "/", b"", {}, b"", "id"), None, True, body_limit)


def test_as_many_requests_get_in_as_the_bound_says() -> None:
    admission = Admission(2, 100)
    admission.enter()
    admission.enter()
    with pytest.raises(Overloaded) as refusal:
        admission.enter()
    assert refusal.value.retry_after == 1.0
    assert admission.requests == 2
    admission.leave(0)
    admission.enter()


def test_as_many_bytes_are_held_as_the_bound_says() -> None:
    admission = Admission(2, 100)
    admission.enter()
    admission.hold(100)
    with pytest.raises(Overloaded):
        admission.hold(1)
    assert admission.bytes == 100
    admission.leave(100)
    assert (admission.requests, admission.bytes) == (0, 0)


def test_a_request_that_was_refused_gives_back_nothing() -> None:
    admission = Admission(1, 100)
    first, second = exchange(), exchange()
    first.enter(admission)
    with pytest.raises(Overloaded):
        second.enter(admission)
    second.release()
    assert admission.requests == 1
    first.release()
    first.release()
    assert admission.requests == 0


def test_an_exchange_gives_back_what_it_held_whatever_refused_it() -> None:
    admission = Admission(2, 10)
    too_large, too_many = exchange(body_limit=5), exchange()
    too_large.enter(admission)
    too_many.enter(admission)
    too_large.feed(b"12345")
    with pytest.raises(BodyTooLarge):
        too_large.feed(b"6")
    too_many.feed(b"12345")
    with pytest.raises(Overloaded):
        too_many.feed(b"6")
    assert admission.bytes == 10
    too_large.release()
    too_many.release()
    assert (admission.requests, admission.bytes) == (0, 0)


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=10))
def test_a_body_is_put_together_from_its_parts(parts: list[bytes]) -> None:
    admission = Admission(1, 1_000)
    one = exchange(body_limit=1_000)
    one.enter(admission)
    for part in parts:
        one.feed(part)
    one.complete()
    assert one.request.body == b"".join(parts)
    assert admission.bytes == len(one.request.body)
    one.release()
    assert (admission.requests, admission.bytes) == (0, 0)


def test_a_body_of_tiny_parts_takes_little_more_memory_than_its_bytes() -> None:
    one = exchange(body_limit=1_000_000)
    tracemalloc.start()
    try:
        for number in range(250_000):
            one.feed(b"%c%c" % (number % 97, number % 89))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
    one.complete()
    assert len(one.request.body) == 500_000


def test_a_connection_begins_behind_an_exchange_that_is_over() -> None:
    assert answered().response_complete
