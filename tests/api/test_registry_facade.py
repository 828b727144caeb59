"""What stock Avro clients get to see; the shapes are those of Confluent's API."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.registry_facade import CONTENT_TYPE, registry_routes
from eventbus_gateway.schemas.confluent import ConfluentRegistry
from eventbus_gateway.schemas.folder import FolderRegistry, id_of
from eventbus_gateway.schemas.registry import Registry
from eventbus_gateway.schemas.settings import RegistrySettings

FIRST = '{"type": "record", "name": "a.Order", "fields": [{"name": "id", "type": "string"}]}'
SECOND = '{"type": "record", "name": "a.Order", "fields": []}'


@pytest.fixture
def registry(tmp_path: Path) -> FolderRegistry:
    files = {"orders-value.v1": FIRST, "orders-value.v2": SECOND, "copies": FIRST, "orders-key": '"string"'}
    for name, text in files.items():
        (tmp_path / f"{name}.avsc").write_text(text)
    return FolderRegistry(tmp_path)


def call(registry: Registry, method: str, template: str, body: str = "", **params: str) -> Answer:
    async def called() -> Answer:
        [row] = [row for row in registry_routes(registry) if (row.method, row.path) == (method, template)]
        request = Request(method, template.format_map(params), b"", {}, body.encode(), "request-1")
        request.params = params
        return await row.handler(request)

    answer = asyncio.run(called())
    assert answer.content_type == CONTENT_TYPE
    return answer


def get(registry: Registry, template: str, **params: str) -> Any:
    answer = call(registry, "GET", template, **params)
    assert answer.status == 200, answer
    return orjson.loads(answer.body)


def refusal(answer: Answer) -> tuple[int, int]:
    document = orjson.loads(answer.body)
    assert set(document) == {"error_code", "message"}
    return answer.status, document["error_code"]


VERSION = "/subjects/{subject}/versions/{version}"


def test_subjects_and_versions_are_listed(registry: FolderRegistry) -> None:
    assert get(registry, "/subjects") == ["copies-value", "orders-key", "orders-value"]
    assert get(registry, "/subjects/{subject}/versions", subject="orders-value") == [1, 2]


@pytest.mark.parametrize(("named", "number", "text"), [("1", 1, FIRST), ("latest", 2, SECOND), ("-1", 2, SECOND)])
def test_a_version_is_shown_with_its_id(registry: FolderRegistry, named: str, number: int, text: str) -> None:
    expected = {"subject": "orders-value", "version": number, "id": id_of(text), "schema": text}
    assert get(registry, VERSION, subject="orders-value", version=named) == expected


def test_a_schema_is_shown_by_its_id(registry: FolderRegistry) -> None:
    assert get(registry, "/schemas/ids/{id}", id=str(id_of(FIRST))) == {"schema": FIRST}


def test_the_text_alone_is_shown_as_it_is_in_the_file(registry: FolderRegistry) -> None:
    by_id = call(registry, "GET", "/schemas/ids/{id}/schema", id=str(id_of(FIRST)))
    by_version = call(registry, "GET", VERSION + "/schema", subject="orders-value", version="1")
    assert by_id.body == by_version.body == FIRST.encode()


def test_every_place_of_an_id_is_listed(registry: FolderRegistry) -> None:
    assert get(registry, "/schemas/ids/{id}/versions", id=str(id_of(FIRST))) == [
        {"subject": "copies-value", "version": 1},
        {"subject": "orders-value", "version": 1},
    ]


def test_only_avro_is_offered(registry: FolderRegistry) -> None:
    assert get(registry, "/schemas/types") == ["AVRO"]


def test_what_does_not_exist_has_confluents_error_codes(registry: FolderRegistry) -> None:
    missing = call(registry, "GET", VERSION, subject="others-value", version="latest")
    assert refusal(missing) == (404, 40401)
    assert refusal(call(registry, "GET", "/subjects/{subject}/versions", subject="others-value")) == (404, 40401)
    assert refusal(call(registry, "GET", VERSION, subject="orders-value", version="3")) == (404, 40402)
    for path in ("/schemas/ids/{id}", "/schemas/ids/{id}/schema", "/schemas/ids/{id}/versions"):
        for schema_id in ("7", "0", "x", "-1", "2147483648", "9" * 5_000, "\u0661", ""):
            assert refusal(call(registry, "GET", path, id=schema_id)) == (404, 40403)


@pytest.mark.parametrize("version", ["0", "-2", "x", "1.0", "+1", "2147483648", "9" * 5_000, "\u0661", ""])
def test_a_version_that_is_no_number_is_refused(registry: FolderRegistry, version: str) -> None:
    for path in (VERSION, VERSION + "/schema"):
        assert refusal(call(registry, "GET", path, subject="orders-value", version=version)) == (422, 42202)


def look_up(registry: Registry, document: object, subject: str = "orders-value") -> Answer:
    return call(registry, "POST", "/subjects/{subject}", orjson.dumps(document).decode(), subject=subject)


def test_a_schema_is_found_under_its_subject_however_it_is_written(registry: FolderRegistry) -> None:
    rewritten = '{"fields":[{"type":{"type":"string"},"name":"id"}],"namespace":"a","name":"Order","type":"record"}'
    for text in (FIRST, rewritten):
        answer = look_up(registry, {"schema": text, "schemaType": "AVRO", "references": []})
        assert answer.status == 200
        expected = {"subject": "orders-value", "version": 1, "id": id_of(FIRST), "schema": FIRST}
        assert orjson.loads(answer.body) == expected


def test_a_schema_that_is_not_under_the_subject_is_not_found(registry: FolderRegistry) -> None:
    assert refusal(look_up(registry, {"schema": SECOND}, "copies-value")) == (404, 40403)
    assert refusal(look_up(registry, {"schema": SECOND}, "others-value")) == (404, 40401)


@pytest.mark.parametrize("document", [None, [], "x", {}, {"schema": 1}, {"schema": {"type": "string"}}])
def test_a_look_up_without_a_schema_is_refused(registry: FolderRegistry, document: object) -> None:
    assert refusal(look_up(registry, document)) == (400, 400)


def test_a_look_up_of_something_that_is_no_schema_is_refused(registry: FolderRegistry) -> None:
    for text in ("", "{}", "{", "7", "[" * 900 + "]" * 900):
        assert refusal(look_up(registry, {"schema": text})) == (422, 42201)
    assert refusal(call(registry, "POST", "/subjects/{subject}", "{", subject="orders-value")) == (400, 400)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/subjects/{subject}/versions"),
        ("DELETE", "/subjects/{subject}"),
        ("DELETE", "/subjects/{subject}/versions/{version}"),
    ],
)
def test_changes_are_refused_with_the_way_to_make_them(registry: FolderRegistry, method: str, path: str) -> None:
    answer = call(registry, method, path, "{}", subject="orders-value", version="1")
    assert refusal(answer) == (405, 405)
    assert (b"allow", b"GET") in answer.headers
    assert "auto.register.schemas=false" in orjson.loads(answer.body)["message"]


def test_a_registry_that_is_down_is_told_in_the_same_shape() -> None:
    registry = ConfluentRegistry(RegistrySettings(url="http://127.0.0.1:1"))
    params = {"subject": "orders-value", "version": "latest", "id": "1"}
    rows = [row for row in registry_routes(registry) if row.method == "GET" and row.path != "/schemas/types"]
    for row in rows:
        assert refusal(call(registry, "GET", row.path, **params)) == (503, 50001)
    assert refusal(look_up(registry, {"schema": FIRST})) == (503, 50001)
