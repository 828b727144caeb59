"""What the contract says about requests and answers, as checks."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import httpx2
from jsonschema import Draft202012Validator
from openapi.build import document

from eventbus_gateway.api.contract_page import METHODS, examples, resolved

DOCUMENT = document()
COMPONENTS: Mapping[str, Any] = DOCUMENT["components"]
PROBLEM = "application/problem+json"


class Operation(NamedTuple):
    """One operation of the contract.

    Args:
        method: upper-case HTTP method.
        path: template.
        said: the operation object.
        shared: parameters of its path.
    """

    method: str
    path: str
    said: Mapping[str, Any]
    shared: tuple[Mapping[str, Any], ...]

    @property
    def name(self) -> str:
        """Its id."""
        return str(self.said["operationId"])

    @property
    def parameters(self) -> list[Mapping[str, Any]]:
        """Those of the path included."""
        return [resolved(DOCUMENT, each) for each in (*self.shared, *self.said.get("parameters", ()))]

    @property
    def responses(self) -> dict[str, Mapping[str, Any]]:
        """By status."""
        return {status: resolved(DOCUMENT, each) for status, each in self.said["responses"].items()}

    @property
    def bodies(self) -> Mapping[str, Mapping[str, Any]]:
        """Media type objects of the request's body, by media type."""
        found: Mapping[str, Mapping[str, Any]] = self.said.get("requestBody", {}).get("content", {})
        return found


def operations() -> list[Operation]:
    """All of the contract."""
    return [
        Operation(method.upper(), path, item[method], tuple(item.get("parameters", ())))
        for path, item in DOCUMENT["paths"].items()
        for method in METHODS
        if method in item
    ]


def faults(schema: Mapping[str, Any], value: Any) -> list[str]:
    """What of a value does not fit a schema of the contract."""
    root = {"allOf": [schema], "components": COMPONENTS}
    validator = Draft202012Validator(root, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def contents() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every media type object of the contract, with its place."""
    for one in operations():
        for media, each in one.bodies.items():
            yield f"{one.name}, request, {media}", each
        for status, response in one.responses.items():
            for media, each in response.get("content", {}).items():
                yield f"{one.name}, {status}, {media}", each
    for name, response in COMPONENTS["responses"].items():
        for media, each in response["content"].items():
            yield f"{name}, {media}", each


def given_examples(content: Mapping[str, Any]) -> dict[str, Any]:
    """Examples of a media type, by name."""
    return examples(DOCUMENT, content)


def differences(operation: Operation, answer: httpx2.Response) -> Iterator[str]:
    """What of an answer is not as the contract says."""
    response = operation.responses.get(str(answer.status_code))
    if response is None:
        yield f"status {answer.status_code} is not documented"
        return
    for name, header in response.get("headers", {}).items():
        said = resolved(DOCUMENT, header)
        value = answer.headers.get(name)
        if value is None and said.get("required"):
            yield f"the header {name} is missing"
        elif value is not None:
            number = said["schema"].get("type") == "integer" and value.isdigit()
            yield from (f"{name}: {fault}" for fault in faults(said["schema"], int(value) if number else value))
    content = response.get("content")
    if content is None:
        if answer.content:
            yield "there is a body"
        return
    media = answer.headers["content-type"].partition(";")[0]
    if media not in content:
        yield f"{media} is not documented"
        return
    yield from faults(content[media]["schema"], answer.json() if media.endswith(("/json", "+json")) else answer.text)
