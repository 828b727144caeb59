"""What the tests of the publish API share: one gateway with a topic for every setting, and events that fit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
from tests.leaks import marked
from tests.serving import EXAMPLES, Served, Way

from eventbus_gateway.api.settings import TopicSettings
from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.kafka.records import Record
from eventbus_gateway.schemas.folder import FolderRegistry

APPOINTMENT: dict[str, Any] = json.loads((EXAMPLES / "appointments.json").read_text())
marked(APPOINTMENT["appointmentId"], "the key of a published event")
marked(APPOINTMENT["clinic"]["name"], "the data of a published event")
WAYS: tuple[Way, ...] = ("protocol", "asgi", "uvicorn")

JSON = "application/json"
CLOUDEVENT = "application/cloudevents+json"
CLOUDEVENTS = "application/cloudevents-batch+json"
NDJSON = "application/x-ndjson"

TOPICS = {
    "appointments": TopicSettings(key="/appointmentId", source="/examples/scheduling"),
    "notes": TopicSettings(format="json"),
    "keyed": TopicSettings(format="json", key="/a~1b/0/~0id"),
    "loose": TopicSettings(format="json", key="/id", key_required=False),
    "explicit": TopicSettings(format="json", key_required=True),
    "labelled": TopicSettings(format="json", type="note.taken", source="urn:notes"),
    "pinned": TopicSettings(schema_version=1),
    "versioned": TopicSettings(),
    "forgiving": TopicSettings(unknown_fields="ignore"),
    "tagged": TopicSettings(dialect="avro"),
    "compound": TopicSettings(key="/id", key_format="avro"),
    "numbered": TopicSettings(format="json", key="/id", key_format="avro"),
    "bare": TopicSettings(),
    "broken": TopicSettings(),
}

_STRING = {"name": "id", "type": "string"}
_COUNT = {"name": "count", "type": "int"}
_COMPOUND_KEY = {"type": "record", "name": "Key", "fields": [{"name": "tenant", "type": "string"}, _COUNT]}


def _record(name: str, *fields: Mapping[str, Any]) -> str:
    return json.dumps({"type": "record", "name": name, "namespace": "health.example", "fields": fields})


SCHEMAS = {
    "appointments.avsc": (EXAMPLES / "appointments.avsc").read_text(),
    "pinned-value.v1.avsc": _record("First", _STRING),
    "pinned-value.v2.avsc": _record("Second", _STRING, _COUNT),
    "versioned-value.v1.avsc": _record("First", _STRING),
    "versioned-value.v2.avsc": _record("Second", _STRING, _COUNT),
    "forgiving.avsc": _record("Forgiving", _STRING),
    "tagged.avsc": _record("Tagged", {"name": "note", "type": ["null", "string"]}),
    "compound.avsc": _record("Compound", {"name": "id", "type": _COMPOUND_KEY}, _COUNT),
    "compound-key.avsc": json.dumps(_COMPOUND_KEY),
    "numbered-key.avsc": '"long"',
    "broken.avsc": '{"type": "record", "name": "Broken"}',
}


def registry(folder: Path) -> FolderRegistry:
    """The schemas of ``TOPICS`` in a folder."""
    for name, text in SCHEMAS.items():
        (folder / name).write_text(text)
    return FolderRegistry(folder)


def kafka() -> MemoryKafka:
    """All of ``TOPICS``, with four partitions each."""
    return MemoryKafka(dict.fromkeys(TOPICS, 4))


def publish(
    gateway: Served, topic: str, body: object, media: str | None = JSON, *, query: str = "", **headers: str
) -> httpx2.Response:
    """Publish; a body that is no bytes goes as JSON, and underscores in header names stand for hyphens."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if media is not None:
        sent["content-type"] = media
    return gateway.client.post(f"/v1/topics/{topic}/events{query}", content=content, headers=sent)


def lines(*events: object) -> bytes:
    """An NDJSON body."""
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def cloudevent(data: object, **attributes: object) -> dict[str, object]:
    """A structured CloudEvent."""
    return {"specversion": "1.0", "data": data} | attributes


def stored(gateway: Served, topic: str) -> Record:
    """The only record of a topic."""
    (record,) = gateway.kafka.records(topic)
    return record


def attribute(record: Record, name: str) -> str | None:
    """A header of a record as text, None where it has none; fails where it came twice."""
    found = [value.decode() for header, value in record.headers if header == name]
    assert len(found) < 2, name
    return found[0] if found else None


def problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer, after a look at everything that all of them have."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"]
    document: dict[str, Any] = response.json()
    assert document.keys() <= {"type", "title", "status", "detail", "code", "instance", "errors", "outcome"}
    assert document["type"] == f"urn:eventbus:error:{code}"
    assert document["code"] == code
    assert document["status"] == status
    assert document["instance"] == response.request.url.path
    assert document["title"]
    assert document["detail"]
    return document


def faults(response: httpx2.Response, status: int = 422, code: str = "invalid_event") -> dict[str, str]:
    """The faults of a refused publish, by pointer."""
    document = problem(response, status, code)
    assert document["outcome"] == "not_stored"
    found = {fault["pointer"]: fault["detail"] for fault in document["errors"]}
    assert len(found) == len(document["errors"])
    return found
