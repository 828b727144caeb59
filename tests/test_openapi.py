"""The contract in openapi/openapi.yaml and the code say the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from tests.serving import served

from eventbus_gateway import __version__
from eventbus_gateway.api.body import Media
from eventbus_gateway.api.problems import STATUS
from eventbus_gateway.api.read_request import NAMES, ReadMedia
from eventbus_gateway.api.settings import HttpSettings, ReadSettings, TopicSettings
from eventbus_gateway.api.table import contract_routes, public_routes
from eventbus_gateway.api.topics import Topics
from eventbus_gateway.auth.policy import Policy
from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.schemas.absent import AbsentRegistry
from eventbus_gateway.schemas.cache import Schemas
from eventbus_gateway.schemas.settings import RegistrySettings

DOCUMENT: dict[str, Any] = yaml.safe_load((Path(__file__).parent.parent / "openapi" / "openapi.yaml").read_text())
METHODS = {"get", "put", "post", "delete", "patch"}


def documented() -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item.keys() & METHODS}


async def _nothing(request: object) -> Any:
    raise NotImplementedError


def test_every_route_is_documented_and_every_documented_route_exists() -> None:
    schemas = Schemas(AbsentRegistry(), RegistrySettings())
    topics = Topics(MemoryKafka({}), {}, TopicSettings())
    routes = public_routes(_nothing, _nothing, topics, schemas, Policy(None), AbsentRegistry())
    routes += contract_routes(HttpSettings())
    assert {(route.method, route.template) for route in routes} == documented()
    assert contract_routes(HttpSettings(contract=False)) == []


def test_a_publish_documents_every_media_type_that_it_takes() -> None:
    content = DOCUMENT["paths"]["/v1/topics/{topic}/events"]["post"]["requestBody"]["content"]
    assert set(content) == {media.media_type for media in Media}


def test_a_publish_documents_every_status_that_an_error_can_have() -> None:
    responses = DOCUMENT["paths"]["/v1/topics/{topic}/events"]["post"]["responses"]
    # 405 belongs to the other methods of the path, 406 to what is read, 410 to leases, 412 to what has a version; 500
    # would be a fault of the gateway, not a part of its contract.
    assert {str(status) for status in STATUS.values()} - {"405", "406", "410", "412", "500"} <= set(responses)


def test_a_read_documents_every_media_type_that_it_gives_and_every_parameter_that_it_takes() -> None:
    read = DOCUMENT["paths"]["/v1/topics/{topic}/events"]["get"]
    assert set(read["responses"]["200"]["content"]) == {media.value.decode() for media in ReadMedia}
    assert {each["name"] for each in read["parameters"] if each.get("in") == "query"} == NAMES
    documented = {each["name"]: each["schema"] for each in read["parameters"] if "name" in each}
    settings = ReadSettings()
    assert (documented["limit"]["maximum"], documented["limit"]["default"]) == (
        settings.max_limit,
        settings.default_limit,
    )
    assert documented["wait"]["maximum"] == settings.max_wait_seconds


def test_the_contract_has_the_version_of_the_package() -> None:
    assert DOCUMENT["info"]["version"] == __version__


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with served() as gateway:
        yield gateway.client


def test_answers_have_the_fields_that_the_contract_requires(client: httpx2.Client) -> None:
    schemas = DOCUMENT["components"]["schemas"]
    path = "/v1/topics/appointments/events"
    body = (Path(__file__).parent.parent / "examples" / "appointments.json").read_bytes()
    json = {"content-type": "application/json"}
    answers = {
        "Receipt": client.post(path, content=body, headers=json),
        "Results": client.post(
            path, content=body.replace(b"\n", b""), headers={"content-type": "application/x-ndjson"}
        ),
        "Validity": client.post(f"{path}?dryRun=true", content=body, headers=json),
        "Problem": client.post(path, content=b"{", headers=json),
        "Events": client.get(path),
        "StoredEvent": client.get(path),
        "TopicSummary": client.get("/v1/topics/appointments"),
    }
    for name, answer in answers.items():
        found = answer.json()["events"][0] if name == "StoredEvent" else answer.json()
        assert set(schemas[name]["required"]) <= set(found), name
    results = schemas["Results"]["properties"]["results"]["items"]
    assert set(answers["Results"].json()["results"][0]) <= set(results["properties"])
    topic = schemas["Topic"]["allOf"][1]["properties"] | schemas["TopicSummary"]["properties"]
    assert set(answers["TopicSummary"].json()) <= set(topic)
