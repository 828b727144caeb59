"""Events at a terminal: readable, complete, and unable to steer it."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eventbus_gateway.webhooks.cloudevents import MAX_DEPTH
from eventbus_gateway.webhooks.lines import line, pretty

EVENT = {"specversion": "1.0", "id": "01a1", "source": "/clinic", "type": "booked", "time": "2026-11-21T09:30:00Z"}


def test_a_line_has_time_type_source_id_then_the_rest_by_name_and_the_data_last() -> None:
    event = {
        **EVENT,
        "data": {"a": [1, "ü"]},
        "datacontenttype": "application/json",
        "subject": "p 1",
        "partition": 3,
    }
    assert line(event) == ('2026-11-21T09:30:00Z booked /clinic 01a1 subject="p 1" partition=3 data={"a":[1,"ü"]}')


def test_an_event_without_time_and_data_has_a_shorter_line() -> None:
    assert line({name: EVENT[name] for name in ("specversion", "id", "source", "type")}) == "booked /clinic 01a1"


def test_a_value_that_could_be_taken_for_several_is_in_quotes() -> None:
    shown = line({**EVENT, "subject": 'a"b', "other": "", "flag": True, "number": 3, "text": "a=b"})
    assert shown.endswith(r' 01a1 subject="a\"b" other="" flag=true number=3 text=a=b')


def test_bytes_are_shown_as_base64() -> None:
    assert line({**EVENT, "data_base64": "//4="}).endswith(' 01a1 data_base64="//4="')


def test_pretty_is_the_event_as_json() -> None:
    event = {**EVENT, "data": {"a": [1, "ü"]}}
    assert json.loads(pretty(event)) == event
    assert pretty(event).startswith('{\n  "specversion": "1.0",\n')


@given(st.text(), st.text())
@settings(max_examples=200)
def test_no_event_can_steer_the_terminal_or_make_a_second_line(attribute: str, data: str) -> None:
    event: dict[str, Any] = {**EVENT, "subject": attribute, "data": {data: data}}
    assert line(event).isprintable()
    assert all(each.isprintable() for each in pretty(event).split("\n"))
    assert len(pretty(event).split("\n")) == len(pretty({**EVENT, "subject": "", "data": {"": ""}}).split("\n"))
    assert json.loads(pretty(event)) == event
    assert line(event).encode()


def test_control_characters_are_escaped_as_json_escapes_them() -> None:
    shown = line({**EVENT, "subject": "\x1b[31m", "data": "a\u202eb\U000e0001\ud800"})
    assert "subject=\\u001b[31m" in shown
    assert 'data="a\\u202eb\\udb40\\udc01\\ud800"' in shown


def test_the_deepest_event_that_is_understood_is_shown() -> None:
    data: Any = 1
    for _ in range(MAX_DEPTH):
        data = [data]
    assert line({**EVENT, "data": data}).count("[") == MAX_DEPTH
    assert json.loads(pretty({**EVENT, "data": data}))["data"] == data
