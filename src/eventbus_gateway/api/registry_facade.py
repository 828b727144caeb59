"""The read side of the Confluent Schema Registry API, for consumers with stock Avro deserializers.

Source: Confluent Platform, Schema Registry API reference.
"""

from functools import wraps
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson

from eventbus_gateway.api.http import NO_HEADERS, Answer, Handler, Request
from eventbus_gateway.errors import RegistryUnavailable, SchemaMissing, UnknownSchemaVersion
from eventbus_gateway.schemas.registry import RegisteredSchema, Registry
from eventbus_gateway.schemas.sameness import normal_form

CONTENT_TYPE = b"application/vnd.schemaregistry.v1+json"
LARGEST = 2**31 - 1


class Row(NamedTuple):
    """A line of the route table.

    Args:
        method: HTTP method.
        path: path template with variable segments in braces.
        handler: answers the request.
    """

    method: str
    path: str
    handler: Handler


def _refusal(status: int, code: int, message: str) -> Answer:
    body = orjson.dumps({"error_code": code, "message": message})
    allow = ((b"allow", b"GET"),) if status == HTTPStatus.METHOD_NOT_ALLOWED else NO_HEADERS
    return Answer(status, body, CONTENT_TYPE, allow)


SUBJECT_NOT_FOUND = _refusal(404, 40401, "Subject not found.")
VERSION_NOT_FOUND = _refusal(404, 40402, "Version not found.")
SCHEMA_NOT_FOUND = _refusal(404, 40403, "Schema not found.")
INVALID_BODY = _refusal(400, 400, 'The body is not a JSON object with a "schema" of type string.')
INVALID_SCHEMA = _refusal(422, 42201, "The schema to look up is not an Avro schema.")
INVALID_VERSION = _refusal(422, 42202, 'A version is a number between 1 and 2^31-1, or "latest".')
UNAVAILABLE = _refusal(503, 50001, "The registry behind this one gives no answer.")
READ_ONLY_REASON = """This registry is read-only: put schemas into its folder and restart. \
Serializers need auto.register.schemas=false."""
READ_ONLY = _refusal(405, 405, READ_ONLY_REASON)


def registry_routes(registry: Registry) -> list[Row]:
    """The rows that make a registry readable for Confluent's clients.

    Args:
        registry: whose schemas are shown.
    """
    facade = _Facade(registry)

    def by_subject(handler: Handler) -> Handler:
        return _with_failures(handler, SUBJECT_NOT_FOUND)

    def by_id(handler: Handler) -> Handler:
        return _with_failures(handler, SCHEMA_NOT_FOUND)

    return [
        Row("GET", "/subjects", by_subject(facade.subjects)),
        Row("POST", "/subjects/{subject}", by_subject(facade.look_up)),
        Row("DELETE", "/subjects/{subject}", facade.refuse_change),
        Row("GET", "/subjects/{subject}/versions", by_subject(facade.versions)),
        Row("POST", "/subjects/{subject}/versions", facade.refuse_change),
        Row("GET", "/subjects/{subject}/versions/{version}", by_subject(facade.version)),
        Row("DELETE", "/subjects/{subject}/versions/{version}", facade.refuse_change),
        Row("GET", "/subjects/{subject}/versions/{version}/schema", by_subject(facade.version_text)),
        Row("GET", "/schemas/types", facade.types),
        Row("GET", "/schemas/ids/{id}", by_id(facade.by_id)),
        Row("GET", "/schemas/ids/{id}/schema", by_id(facade.text_by_id)),
        Row("GET", "/schemas/ids/{id}/versions", by_id(facade.places)),
    ]


def _with_failures(handler: Handler, absent: Answer) -> Handler:
    """Answer the registry's failures in the shape that Confluent's clients read."""

    @wraps(handler)
    async def answered(request: Request) -> Answer:
        try:
            return await handler(request)
        except SchemaMissing:
            return absent
        except UnknownSchemaVersion:
            return VERSION_NOT_FOUND
        except RegistryUnavailable:
            return UNAVAILABLE

    return answered


class _Facade:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def subjects(self, _request: Request) -> Answer:
        return _json(await self._registry.subjects())

    async def versions(self, request: Request) -> Answer:
        return _json(await self._registry.versions(request.params["subject"]))

    async def version(self, request: Request) -> Answer:
        schema = await self._version(request)
        return _json(_in_subject(schema)) if schema is not None else INVALID_VERSION

    async def version_text(self, request: Request) -> Answer:
        schema = await self._version(request)
        return _text(schema) if schema is not None else INVALID_VERSION

    async def by_id(self, request: Request) -> Answer:
        return _json(_content(await self._by_id(request)))

    async def text_by_id(self, request: Request) -> Answer:
        return _text(await self._by_id(request))

    async def places(self, request: Request) -> Answer:
        """Every subject and version with a schema id."""
        wanted = await self._by_id(request)
        places = []
        for subject in await self._registry.subjects():
            for number in await self._registry.versions(subject):
                schema = await self._registry.version(subject, number)
                if schema.id == wanted.id:
                    places.append({"subject": subject, "version": number})
        return _json(places)

    async def look_up(self, request: Request) -> Answer:
        """The version of a subject that is the schema in the body."""
        text = _schema_of(request.body)
        if text is None:
            return INVALID_BODY
        if not _is_schema(text):
            return INVALID_SCHEMA
        try:
            return _json(_in_subject(await self._registry.find(request.params["subject"], text)))
        except UnknownSchemaVersion:
            return SCHEMA_NOT_FOUND

    async def types(self, _request: Request) -> Answer:
        return _json(["AVRO"])

    async def refuse_change(self, _request: Request) -> Answer:
        return READ_ONLY

    async def _version(self, request: Request) -> RegisteredSchema | None:
        """The version that the path names; None when it cannot name one. Older clients call the latest -1."""
        subject, named = request.params["subject"], request.params["version"]
        if named in {"latest", "-1"}:
            return await self._registry.latest(subject)
        number = _number(named)
        return await self._registry.version(subject, number) if number else None

    async def _by_id(self, request: Request) -> RegisteredSchema:
        number = _number(request.params["id"])
        if number is None:
            raise SchemaMissing
        return await self._registry.by_id(number)


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST))):
        return None
    number = int(text)
    return number if number <= LARGEST else None


def _schema_of(body: bytes) -> str | None:
    """The schema text in the body of a look-up."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    text = document.get("schema") if isinstance(document, dict) else None
    return text if isinstance(text, str) else None


def _is_schema(text: str) -> bool:
    try:
        normal_form(text)
    except ValueError:
        return False
    return True


def _content(schema: RegisteredSchema) -> dict[str, Any]:
    """The fields that a schema has wherever it is shown; the type of Avro schemas is left out, as Confluent does."""
    content: dict[str, Any] = {"schema": schema.text}
    if schema.kind != "AVRO":
        content["schemaType"] = schema.kind
    if schema.references:
        content["references"] = [
            {"name": one.name, "subject": one.subject, "version": one.version} for one in schema.references
        ]
    return content


def _in_subject(schema: RegisteredSchema) -> dict[str, Any]:
    return {"subject": schema.subject, "version": schema.version, "id": schema.id, **_content(schema)}


def _json(document: Any) -> Answer:
    return Answer(HTTPStatus.OK, orjson.dumps(document), CONTENT_TYPE)


def _text(schema: RegisteredSchema) -> Answer:
    return Answer(HTTPStatus.OK, schema.text.encode(), CONTENT_TYPE)
