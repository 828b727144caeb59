"""Retry-After in all its forms."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.webhooks.retry_after import retry_after

# Sunday, 6 November 1994, 08:49:37: the example of RFC 9110.
MOMENT = 784_111_777.0
CAP = 3_600.0


@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_a_date_in_any_of_its_forms_is_the_same_moment(text: str) -> None:
    assert retry_after(text, MOMENT - 120, CAP) == 120.0
    assert retry_after(f" {text}\t", MOMENT - 0.5, CAP) == 0.5


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC)))  # noqa: DTZ001
def test_every_date_is_read_as_it_was_written(moment: datetime) -> None:
    at = moment.replace(microsecond=0).timestamp()
    texts = [format_datetime(moment, usegmt=True), moment.strftime("%a %b %e %H:%M:%S %Y")]
    # Two digits of a year mean one of the hundred that end in fifty years.
    if -50 < moment.year - datetime.fromtimestamp(at - 7, UTC).year <= 50:
        texts.append(moment.strftime("%A, %d-%b-%y %H:%M:%S GMT"))
    assert [retry_after(text, at - 7.0, CAP) for text in texts] == [7.0] * len(texts)


def test_two_digits_of_a_year_are_never_more_than_fifty_years_ahead() -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
    assert retry_after("Wednesday, 01-Jan-76 00:00:00 GMT", now, 1e12) == pytest.approx(
        49.59 * 365.25 * 86_400, rel=0.01
    )
    assert retry_after("Saturday, 01-Jan-77 00:00:00 GMT", now, 1e12) == 0.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("120", 120.0), ("007", 7.0), (" 5 ", 5.0), ("3601", CAP), ("9" * 10_000, CAP), ("0" * 10_000, 0.0)],
)
def test_seconds_are_taken_up_to_the_cap(text: str, seconds: float) -> None:
    assert retry_after(text, MOMENT, CAP) == seconds


def test_a_date_is_taken_up_to_the_cap_and_one_in_the_past_is_no_wait() -> None:
    text = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert retry_after(text, MOMENT - 1e6, CAP) == CAP
    assert retry_after(text, MOMENT + 1e6, CAP) == 0.0


def test_a_leap_second_is_taken_as_the_second_before() -> None:
    assert retry_after("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_799.0 - 5, CAP) == 5.0


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "soon",
        "-1",
        "+1",
        "1.5",
        "1e3",
        "0x10",
        "1,2",
        "٣",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "1994-11-06T08:49:37Z",
        "sun, 06 nov 1994 08:49:37 gmt",
    ],
)
def test_what_is_neither_says_nothing(text: str | None) -> None:
    assert retry_after(text, MOMENT, CAP) is None


@given(st.text(max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    seconds = retry_after(text, MOMENT, CAP)
    assert seconds is None or 0 <= seconds <= CAP
