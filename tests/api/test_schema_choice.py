"""Which schema a record is encoded with."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.api.publishing import JSON, NDJSON, TOPICS, faults, kafka, lines, problem, publish, registry, stored
from tests.serving import Served

from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.publish import Publish
from eventbus_gateway.api.records import RecordBuilder
from eventbus_gateway.api.settings import PublishSettings, TopicSettings
from eventbus_gateway.api.topics import Topics
from eventbus_gateway.errors import InvalidEvent
from eventbus_gateway.schemas.cache import Schemas
from eventbus_gateway.schemas.folder import FolderRegistry
from eventbus_gateway.schemas.registry import RegisteredSchema
from eventbus_gateway.schemas.settings import RegistrySettings
from eventbus_gateway.telemetry import Metrics

FIRST = {"id": "x"}
SECOND = {"id": "x", "count": 1}


def test_the_latest_version_is_used(gateway: Served) -> None:
    assert publish(gateway, "versioned", SECOND).status_code == 201
    assert faults(publish(gateway, "versioned", FIRST)).keys() == {"/count"}


def test_a_topic_can_be_pinned_to_a_version(gateway: Served) -> None:
    assert publish(gateway, "pinned", FIRST).status_code == 201
    assert faults(publish(gateway, "pinned", SECOND)).keys() == {"/count"}


def test_a_request_can_choose_a_version(gateway: Served) -> None:
    chosen = publish(gateway, "versioned", FIRST, schema_version="1")
    assert chosen.status_code == 201
    assert chosen.json()["schemaId"] != publish(gateway, "versioned", SECOND).json()["schemaId"]
    assert publish(gateway, "versioned", lines(FIRST, FIRST), NDJSON, schema_version="1").status_code == 200


def test_the_choice_of_a_request_goes_before_the_topics_pin(gateway: Served) -> None:
    assert publish(gateway, "pinned", SECOND, schema_version="2").status_code == 201


def test_a_choice_holds_for_its_request_only(gateway: Served) -> None:
    publish(gateway, "versioned", FIRST, schema_version="1")
    assert faults(publish(gateway, "versioned", FIRST)).keys() == {"/count"}


@pytest.mark.parametrize("version", ["0", "-1", "1.0", "latest", "", "9999999999", "٣"])
def test_a_version_that_is_no_positive_number_is_refused(gateway: Served, version: str) -> None:
    answer = gateway.client.post(
        "/v1/topics/versioned/events",
        content=b"{}",
        headers={b"content-type": JSON.encode(), b"schema-version": version.encode()},
    )
    assert "Schema-Version" in problem(answer, 400, "invalid_header")["detail"]


def test_a_version_that_is_not_registered_is_refused(gateway: Served) -> None:
    document = problem(publish(gateway, "versioned", FIRST, schema_version="9"), 400, "unknown_schema_version")
    assert document["outcome"] == "not_stored"
    assert "versioned-value" in document["detail"]


def test_a_version_on_a_topic_without_schema_is_refused(gateway: Served) -> None:
    problem(publish(gateway, "notes", {}, schema_version="1"), 400, "invalid_header")


def test_unknown_fields_are_ignored_where_the_topic_says_so(gateway: Served) -> None:
    assert publish(gateway, "forgiving", {"id": "x", "more": 1}).status_code == 201
    assert stored(gateway, "forgiving").value[5:] == b"\x02x"


def test_a_topic_can_speak_the_json_encoding_of_avro(gateway: Served) -> None:
    assert publish(gateway, "tagged", {"note": {"string": "x"}}).status_code == 201
    assert stored(gateway, "tagged").value[5:] == b"\x02\x02x"
    assert faults(publish(gateway, "tagged", {"note": "x"})).keys() == {"/note"}


def test_the_key_is_encoded_with_the_latest_key_schema_whatever_the_request_chooses(gateway: Served) -> None:
    event = {"id": {"tenant": "t", "count": 3}, "count": 1}
    assert publish(gateway, "compound", event, schema_version="1").status_code == 201


# A version that was registered a moment ago


class GrowingRegistry(FolderRegistry):
    """Shows versions up to a bound that a test moves."""

    bound = 1

    async def latest(self, subject: str) -> RegisteredSchema:
        return await self.version(subject, self.bound)


class Publishing:
    """A publish handler whose schemas are as old as a test says.

    Args:
        folder: where the schemas are written to.
    """

    def __init__(self, folder: Path) -> None:
        registry(folder)
        self.registry = GrowingRegistry(folder)
        self.kafka = kafka()
        self.now = 0.0
        self._schemas = Schemas(self.registry, RegistrySettings(), clock=lambda: self.now)
        topics = Topics(self.kafka, TOPICS, TopicSettings())
        builder = RecordBuilder(1_000_000)
        self._handler = Publish(topics, self._schemas, self.kafka, PublishSettings(), builder, Metrics())

    async def publish(self, topic: str, event: object, **headers: str) -> Answer:
        """Publish, and let the registry be asked again next time."""
        sent = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        body = json.dumps(event).encode()
        request = Request("POST", "/", b"", {b"content-type": b"application/json"} | sent, body, "r-1")
        request.params = {"topic": topic}
        self.now += 10
        return await self._handler(request)

    async def aclose(self) -> None:
        await self._schemas.aclose()


def _with_growing(folder: Path, work: Callable[[Publishing], Awaitable[None]]) -> None:
    async def run() -> None:
        publishing = Publishing(folder)
        try:
            await work(publishing)
        finally:
            await publishing.aclose()

    asyncio.run(run())


def test_an_event_of_a_version_that_was_just_registered_is_taken(tmp_path: Path) -> None:
    async def work(publishing: Publishing) -> None:
        first = await publishing.publish("versioned", FIRST)
        with pytest.raises(InvalidEvent):
            await publishing.publish("versioned", SECOND)
        publishing.registry.bound = 2
        second = await publishing.publish("versioned", SECOND)
        assert (first.status, second.status) == (201, 201)
        assert json.loads(first.body)["schemaId"] != json.loads(second.body)["schemaId"]
        records = publishing.kafka.records("versioned")
        assert [record.value[5:] for record in records] == [b"\x02x", b"\x02x\x02"]

    _with_growing(tmp_path, work)


def test_an_event_that_fits_no_version_gets_the_faults_against_the_newest(tmp_path: Path) -> None:
    async def work(publishing: Publishing) -> None:
        await publishing.publish("versioned", FIRST)
        publishing.registry.bound = 2
        with pytest.raises(InvalidEvent, match="Second") as refused:
            await publishing.publish("versioned", {"id": 1})
        assert {fault.pointer for fault in refused.value.faults} == {"/id", "/count"}

    _with_growing(tmp_path, work)


def test_a_chosen_version_is_not_replaced_by_a_newer_one(tmp_path: Path) -> None:
    async def work(publishing: Publishing) -> None:
        publishing.registry.bound = 2
        with pytest.raises(InvalidEvent):
            await publishing.publish("versioned", SECOND, schema_version="1")
        with pytest.raises(InvalidEvent):
            await publishing.publish("pinned", SECOND)
        assert publishing.kafka.logs == {}

    _with_growing(tmp_path, work)
