"""The contract is whole: every route with every error, header and example, and each example is one."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.contract.conformance import COMPONENTS, DOCUMENT, PROBLEM, contents, faults, given_examples, operations

from eventbus_gateway import errors
from eventbus_gateway.api.problems import problem
from eventbus_gateway.api.registry_facade import registry_routes
from eventbus_gateway.api.routes import Access, Route
from eventbus_gateway.api.settings import HttpSettings, TopicSettings
from eventbus_gateway.api.table import contract_routes, public_routes
from eventbus_gateway.api.topics import Topics
from eventbus_gateway.auth.policy import Policy
from eventbus_gateway.kafka.memory import MemoryKafka
from eventbus_gateway.schemas.absent import AbsentRegistry
from eventbus_gateway.schemas.cache import Schemas
from eventbus_gateway.schemas.settings import RegistrySettings

# Passed between replicas; whoever asked hears of an owner that is not available.
NEVER_SEEN = {"not_owner"}
FAMILIES = {"error"}
LIMITED = {"Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id"}
# Nothing that a grant or a key decides comes after these.
OPEN_STATUSES = {"401", "403", "429"}


async def _nothing(_: object) -> Any:
    raise NotImplementedError


def table() -> dict[tuple[str, str], Route]:
    """Every route of the public port."""
    topics, schemas = Topics(MemoryKafka({}), {}, TopicSettings()), Schemas(AbsentRegistry(), RegistrySettings())
    routes = public_routes(_nothing, _nothing, topics, schemas, Policy(None), AbsentRegistry())
    return {(route.method, route.template): route for route in (*routes, *contract_routes(HttpSettings()))}


def every_error() -> dict[str, type[errors.GatewayError]]:
    found = (each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, errors.GatewayError))
    return {each.code: each for each in found if each.code not in FAMILIES | NEVER_SEEN}


def error_of(kind: type[errors.GatewayError]) -> errors.GatewayError:
    return kind("", ("GET",)) if issubclass(kind, errors.MethodNotAllowed) else kind("")


def codes_of(content: Mapping[str, Any]) -> list[str]:
    """The codes that a problem of a response can have."""
    found: list[str] = content["schema"]["allOf"][1]["properties"]["code"]["enum"]
    return found


def problems() -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
    """Operation, status, response and media type object of every problem that an operation can answer."""
    for operation in operations():
        for status, response in operation.responses.items():
            if PROBLEM in response.get("content", {}):
                yield operation.name, status, response, response["content"][PROBLEM]


def test_the_document_is_openapi() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_every_route_is_there_and_no_other() -> None:
    assert {(one.method, one.path) for one in operations()} == set(table())
    facade = {(row.method, row.path) for row in registry_routes(AbsentRegistry())}
    assert facade == {(one.method, one.path) for one in operations() if one.said["tags"] == ["Registry"]}


@pytest.mark.parametrize("operation", operations(), ids=lambda one: one.name)
def test_an_operation_has_the_parameters_of_its_path_and_one_section(operation: Any) -> None:
    of_path = [each for each in operation.parameters if each["in"] == "path"]
    assert sorted(each["name"] for each in of_path) == sorted(re.findall(r"{(\w+)}", operation.path))
    assert all(each["required"] and "example" in each for each in of_path)
    assert len(operation.said["tags"]) == 1
    assert operation.said["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}


@pytest.mark.parametrize("operation", operations(), ids=lambda one: one.name)
def test_an_operation_asks_for_a_credential_as_its_route_does(operation: Any) -> None:
    is_open = table()[operation.method, operation.path].access is Access.OPEN
    assert (operation.said.get("security") == []) is is_open
    assert (not set(operation.responses) & OPEN_STATUSES) if is_open else set(operation.responses) >= OPEN_STATUSES
    assert {each for scheme in DOCUMENT["security"] for each in scheme} == set(COMPONENTS["securitySchemes"])


@pytest.mark.parametrize("operation", operations(), ids=lambda one: one.name)
def test_an_operation_has_what_the_edge_can_answer_to_anything(operation: Any) -> None:
    assert set(operation.responses) >= {"400", "408", "413", "431", "500", "503"}
    assert "default" not in operation.responses
    assert ("415" in operation.responses) == bool(operation.bodies) or operation.said["tags"] == ["Registry"]


def test_every_answer_names_its_request_and_who_is_limited_is_told() -> None:
    for operation in operations():
        for status, response in operation.responses.items():
            headers = set(response["headers"])
            assert "X-Request-Id" in headers, (operation.name, status)
            if operation.said.get("security") != [] and status < "300":
                assert headers >= LIMITED - {"Retry-After"}, (operation.name, status)
            if status == "429":
                assert headers >= LIMITED, operation.name
            if status == "401":
                assert "WWW-Authenticate" in headers, operation.name


def test_what_can_be_tried_again_says_when() -> None:
    for name, status, response, content in problems():
        kinds = [every_error()[code] for code in codes_of(content)]
        if any(kind.retryable for kind in kinds) and status in {"429", "503"}:
            assert "Retry-After" in response["headers"], (name, status)


def test_a_code_stands_at_the_status_that_it_has() -> None:
    for name, status, _, content in problems():
        for code in codes_of(content):
            assert problem(error_of(every_error()[code]), "/").status == int(status), (name, code)
        assert content["schema"]["allOf"][1]["properties"]["status"] == {"const": int(status)}


def test_every_error_code_is_there_with_an_example_and_no_other() -> None:
    told = {code for _, _, _, content in problems() for code in codes_of(content)}
    # A path that has the method never answers so, hence it stands at no operation.
    told |= set(codes_of(COMPONENTS["responses"]["MethodNotAllowed"]["content"][PROBLEM]))
    assert told == set(every_error()) == set(COMPONENTS["examples"])


def test_an_example_of_an_error_is_what_the_gateway_says() -> None:
    for code, kind in every_error().items():
        example = COMPONENTS["examples"][code]["value"]
        answer = problem(error_of(kind), "/")
        assert (example["type"], example["title"], example["status"], example["code"]) == (
            f"urn:eventbus:error:{code}",
            kind.title,
            answer.status,
            code,
        )


def test_every_response_is_used() -> None:
    given = (each for one in operations() for each in one.said["responses"].values())
    used = {each["$ref"].rpartition("/")[2] for each in given if "$ref" in each}
    assert used == set(COMPONENTS["responses"]) - {"MethodNotAllowed"}


@pytest.mark.parametrize(
    ("place", "content"), list(contents()), ids=lambda each: each if isinstance(each, str) else ""
)
def test_every_body_has_examples_that_fit_its_schema(place: str, content: Mapping[str, Any]) -> None:
    examples = given_examples(content)
    assert examples
    for name, value in examples.items():
        assert faults(content["schema"], value) == [], name
    if place.endswith(PROBLEM):
        assert set(examples) == set(codes_of(content))


def test_examples_and_defaults_of_parameters_and_headers_fit_their_schemas() -> None:
    of_operations = [each for one in operations() for each in one.parameters]
    for each in (*of_operations, *COMPONENTS["headers"].values()):
        for name in ("example", "default"):
            for holder in (each, each["schema"]):
                if name in holder:
                    assert faults(each["schema"], holder[name]) == [], each


def test_an_example_that_does_not_fit_would_be_found() -> None:
    receipt = {"id": 1, "topic": "t", "timestamp": "yesterday"}
    assert len(faults({"$ref": "#/components/schemas/Receipt"}, receipt)) == 5


def test_no_sentence_was_cut_at_its_comma() -> None:
    def walked(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from (key for key, value in node.items() if value is None and " " in str(key))
            node = list(node.values())
        for below in node if isinstance(node, list) else ():
            yield from walked(below)

    # In YAML's short form, {description: One thing, and another} has two keys.
    assert list(walked(DOCUMENT)) == []
