"""Which lines of an NDJSON body are events."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventbus_gateway.api.events import lines
from eventbus_gateway.api.settings import PublishSettings
from eventbus_gateway.errors import BatchTooLarge, EmptyBatch

BOUND = 4
SETTINGS = PublishSettings(max_batch_events=BOUND)


@given(
    st.lists(st.sampled_from([b"1", b'"\xc3\xa4 b"', b" ", b"\t", b"\r", b"\n", b"\r\n", b"\x0b", b"\x00"])).map(
        b"".join
    )
)
@example(b"\n" * (BOUND - 1))
@example(b"\n" * BOUND)
@example(b"1\n" * BOUND)
@example(b"1\n" * BOUND + b"1")
@example(b"\n" * 2 * BOUND + b" 1 \r\n\t1\t")
def test_every_line_that_says_something_is_one_event_however_many_blank_ones_there_are(body: bytes) -> None:
    expected = [text for line in body.split(b"\n") if (text := line.strip(b" \t\r"))]
    if not expected:
        with pytest.raises(EmptyBatch):
            list(lines(body, SETTINGS))
    elif len(expected) > BOUND:
        with pytest.raises(BatchTooLarge):
            list(lines(body, SETTINGS))
    else:
        assert [draft.raw for draft in lines(body, SETTINGS)] == expected
