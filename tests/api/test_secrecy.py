"""Nothing that a caller sends comes back in an answer or stays in a log, but for what identifies the request."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.publishing import (
    APPOINTMENT,
    CLOUDEVENT,
    CLOUDEVENTS,
    JSON,
    NDJSON,
    TOPICS,
    cloudevent,
    problem,
    publish,
)
from tests.leaks import marked
from tests.serving import Served

from eventbus_gateway.kafka.records import Record

MARK = marked("zq7secretzq7", "what a caller has sent")
CE_NAMES = [
    "source",
    "type",
    "subject",
    "time",
    "dataschema",
    "partitionkey",
    "specversion",
    "extension",
    "datacontenttype",
]
OTHER_HEADERS = [
    "content-type",
    "content-encoding",
    "schema-version",
    "traceparent",
    "tracestate",
    "authorization",
    "x-api-key",
    "cookie",
    "user-agent",
]


class Heard(logging.Handler):
    """Keeps everything that is logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        # What the client of these tests says about its own requests does not count.
        if not record.name.startswith(("httpx2", "httpcore2")):
            self.lines.append(self.format(record))


@pytest.fixture(scope="module")
def heard() -> Iterator[Heard]:
    handler = Heard()
    root = logging.getLogger()
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)


def _silent(gateway: Served, heard: Heard) -> None:
    assert gateway.access.lines
    assert MARK not in b"".join(gateway.access.lines).decode()
    assert MARK not in "\n".join(heard.lines)


MARKED = st.sampled_from([MARK, f" {MARK}", f"{MARK}\n", f'"{MARK}"', f"{MARK}@example.org", [MARK], {"a": MARK}])


@st.composite
def _data(draw: st.DrawFn) -> Any:
    """Data with the mark as a value at a place that some schema, key pointer or parser looks at."""
    data = json.loads(json.dumps(APPOINTMENT)) | {"id": "k", "count": 1, "note": None, "a/b": [{"~id": "k"}]}
    kept = draw(st.sets(st.sampled_from(sorted(data)), min_size=1))
    data = {name: value for name, value in data.items() if name in kept}
    for name in draw(st.sets(st.sampled_from(sorted(data)), min_size=1)):
        data[name] = draw(MARKED)
    return draw(st.sampled_from([data, data, data, [data], MARK]))


@st.composite
def _requests(draw: st.DrawFn) -> tuple[str, bytes, str, dict[str, str]]:
    """Topic, body, query and headers of a publish."""
    media = draw(st.sampled_from([JSON, CLOUDEVENT, CLOUDEVENTS, NDJSON]))
    events = draw(st.lists(_data(), min_size=1, max_size=3))
    attributes = draw(st.dictionaries(st.sampled_from([*CE_NAMES, "data_base64"]), MARKED, max_size=2))
    body = {
        JSON: events[0],
        CLOUDEVENT: cloudevent(events[0]) | attributes,
        CLOUDEVENTS: [cloudevent(event) | attributes for event in events],
        NDJSON: events,
    }[media]
    text = "\n".join(map(json.dumps, events)) if media == NDJSON else json.dumps(body)
    cut = draw(st.none() | st.integers(0, len(text)))
    headers = {"content-type": media}
    if media in {JSON, NDJSON}:
        headers |= {
            f"ce-{name}": draw(st.sampled_from([MARK, f"{MARK}%ff", f"{MARK}%00", f"{MARK} <>", f'"{MARK}"']))
            for name in draw(st.sets(st.sampled_from(CE_NAMES), max_size=2))
        }
    headers |= dict.fromkeys(draw(st.sets(st.sampled_from(OTHER_HEADERS), max_size=1)), MARK)
    query = draw(st.sampled_from(["", "", "", "?dryRun=true", f"?dryRun={MARK}", f"?{MARK}=1", f"?{MARK}"]))
    return draw(st.sampled_from(sorted(TOPICS))), text[:cut].encode(), query, headers


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_requests())
def test_no_value_comes_back(
    running: Served, heard: Heard, request_parts: tuple[str, bytes, str, dict[str, str]]
) -> None:
    topic, body, query, headers = request_parts
    running.access.lines = []
    answer = running.client.post(f"/v1/topics/{topic}/events{query}", content=body, headers=headers)
    assert answer.status_code != 500
    assert MARK not in answer.text
    assert MARK not in str(answer.headers)
    _silent(running, heard)


@pytest.fixture(autouse=True)
def _reset(running: Served) -> None:
    running.kafka.judge = running.kafka.refusal = running.kafka.held = None
    running.kafka.logs = dict[tuple[str, int], list[Record]]()


def test_only_the_event_id_comes_back_in_a_receipt(gateway: Served, heard: Heard) -> None:
    answer = publish(gateway, "notes", {"a": MARK}, ce_id=f"id-{MARK}", ce_correlationid=MARK, ce_subject=MARK)
    assert answer.json()["id"] == f"id-{MARK}"
    assert answer.text.count(MARK) == 1
    _silent(gateway, heard)


def test_a_failure_of_the_gateway_is_logged_by_type_and_place_only(gateway: Served, heard: Heard) -> None:
    def fail(*_: object) -> None:
        raise ArithmeticError(f"cannot divide {MARK}")

    gateway.kafka.judge = fail
    before = len(heard.lines)
    document = problem(publish(gateway, "notes", {"a": MARK}, x_request_id="failing-1"), 500, "internal_error")
    assert MARK not in json.dumps(document)
    _silent(gateway, heard)
    (line,) = (line for line in heard.lines[before:] if "failing-1" in line)
    assert "ArithmeticError" in line
    assert "publish.py" in line


def test_an_idempotency_key_is_not_logged(gateway: Served, heard: Heard) -> None:
    publish(gateway, "notes", {"a": 1}, idempotency_key=MARK)
    answer = publish(gateway, "notes", {"a": 2}, idempotency_key=MARK)
    assert answer.status_code == 422
    assert MARK not in answer.text
    _silent(gateway, heard)


def test_the_access_log_says_what_an_operator_needs_and_no_more(gateway: Served) -> None:
    publish(gateway, "notes", {"a": MARK}, x_request_id="logged-1")
    (line,) = (json.loads(line) for line in gateway.access.lines)
    assert line.keys() == {
        "timestamp",
        "level",
        "message",
        "request_id",
        "method",
        "route",
        "topic",
        "principal",
        "status",
        "duration_ms",
        "bytes_in",
        "bytes_out",
    }
    assert (line["request_id"], line["topic"], line["status"]) == ("logged-1", "notes", 201)
