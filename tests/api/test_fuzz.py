"""Whatever is sent, the answer is a JSON document with a request id, and never a failure of the gateway."""

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.publishing import APPOINTMENT, CLOUDEVENT, CLOUDEVENTS, JSON, NDJSON, TOPICS, cloudevent, publish
from tests.serving import Served

from eventbus_gateway.kafka.records import Record

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=20)
    | st.sampled_from([2**63, -(2**63) - 1, 2**64, 1e308, "5f3c1e0a-8a54-4b8e-9d54-0d8a5b1f7c11"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
APPOINTMENTS = st.dictionaries(st.sampled_from(sorted(APPOINTMENT)), JSON_VALUES).map(lambda some: APPOINTMENT | some)
DATA = APPOINTMENTS | JSON_VALUES | st.dictionaries(st.sampled_from(["id", "count", "note", "a/b"]), JSON_VALUES)
NAMES = [
    "id",
    "source",
    "type",
    "time",
    "subject",
    "specversion",
    "partitionkey",
    "data_base64",
    "x",
    "",
    "é",
    "data",
]
ENVELOPES = st.builds(
    lambda data, attributes: cloudevent(data) | attributes,
    DATA,
    st.dictionaries(st.sampled_from(NAMES), JSON_VALUES, max_size=4),
)


def _text(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")


BODIES = (
    st.binary(max_size=200)
    | DATA.map(_text)
    | ENVELOPES.map(_text)
    | st.lists(ENVELOPES | DATA, max_size=4).map(_text)
    | st.lists(DATA.map(_text) | st.binary(max_size=20), max_size=5).map(b"\n".join)
    | st.tuples(DATA.map(_text), st.integers(0, 300)).map(lambda cut: cut[0][: cut[1]])
)
# What may stand in a header at all (RFC 9110 section 5.5).
VALUES = st.binary(max_size=40).map(lambda raw: bytes(byte for byte in raw if byte >= 0x20 and byte != 0x7F).strip())
HEADERS = st.dictionaries(
    st.sampled_from(
        ["schema-version", "idempotency-key", "traceparent", "tracestate", "x-request-id", "content-encoding"]
        + [f"ce-{name}" for name in ("id", "source", "time", "partitionkey", "x", "x-y", "datacontenttype")]
    ),
    VALUES | st.sampled_from([b"1", b"gzip", b"a%20b", b"%", b'"', b'"\\"', b"2026-01-31T09:30:00Z"]),
    max_size=4,
)
MEDIA = st.sampled_from([JSON, CLOUDEVENT, CLOUDEVENTS, NDJSON, "application/json; charset=x", "", "text/plain"])
QUERIES = st.sampled_from(["", "", "", "?dryRun=true", "?dryRun", "?%", "?a=b&=&&"])


@pytest.fixture(autouse=True)
def _reset(running: Served) -> None:
    running.kafka.judge = running.kafka.refusal = running.kafka.held = None
    running.kafka.logs = dict[tuple[str, int], list[Record]]()


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([*TOPICS, "nowhere"]), BODIES, MEDIA, HEADERS, QUERIES, st.booleans())
def test_every_publish_has_an_answer(
    running: Served, topic: str, body: bytes, media: str, headers: dict[str, bytes], query: str, packed: bool
) -> None:
    sent = {name.encode(): value for name, value in headers.items()} | {b"content-type": media.encode()}
    if packed:
        body = gzip.compress(body)
        sent[b"content-encoding"] = b"gzip"
    before = len(running.kafka.records(topic)) if topic in TOPICS else 0
    answer = running.client.post(f"/v1/topics/{topic}/events{query}", content=body, headers=sent)
    assert answer.status_code in {200, 201, 400, 404, 413, 415, 422, 503}, answer.text
    assert answer.headers["x-request-id"]
    document = answer.json()
    after = len(running.kafka.records(topic)) if topic in TOPICS else 0
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert document["status"] == answer.status_code
        assert document["outcome"] == "not_stored"
        assert after == before
    elif "results" in document and "idempotency-replayed" not in answer.headers:
        assert after - before == len(document["results"])


@settings(max_examples=100, deadline=None)
@given(DATA)
def test_what_a_topic_without_schema_takes_in_one_form_it_takes_in_all(running: Served, data: object) -> None:
    running.kafka.logs = dict[tuple[str, int], list[Record]]()
    statuses = {
        publish(running, "loose", body, media).status_code // 100
        for media, body in (
            (JSON, _text(data)),
            (NDJSON, _text(data)),
            (CLOUDEVENT, _text(cloudevent(data))),
            (CLOUDEVENTS, _text([cloudevent(data)])),
        )
    }
    assert len(statuses) == 1
    if statuses == {2}:
        assert [record.value for record in running.kafka.records("loose")] == [_text(data)] * 4
