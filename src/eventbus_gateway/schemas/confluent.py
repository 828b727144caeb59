"""The Confluent Schema Registry REST API, version 1, as a source of schemas.

Source: Confluent Platform, Schema Registry API reference; error codes 40401 (subject), 40402 (version),
40403 (schema), 42201 (schema text) and 42202 (version number).
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeGuard
from urllib.parse import quote

import orjson

from eventbus_gateway.errors import GatewayError, RegistryUnavailable, SchemaMissing, UnknownSchemaVersion
from eventbus_gateway.schema_ids import CONFLUENT, SchemaId
from eventbus_gateway.schemas.registry import Reference, RegisteredSchema, no_such_version
from eventbus_gateway.schemas.registry_http import RegistryClient, Reply
from eventbus_gateway.schemas.settings import RegistrySettings

SUBJECT_NOT_FOUND = 40401
VERSION_NOT_FOUND = 40402
SCHEMA_NOT_FOUND = 40403
INVALID_SCHEMA = 42201
INVALID_VERSION = 42202
LARGEST_ID = 2**31 - 1
LARGEST_VERSION = 2**31 - 1
LONGEST_SUBJECT = 1_024

_CONTEXT = re.compile(r"^:\.[^:]*:")
"""A registry URL below ``/contexts/<name>`` answers with subjects qualified as ``:.<name>:<subject>``."""


class ConfluentRegistry:
    """Reads schemas over the API that Confluent's, Karapace, Redpanda's and Apicurio's registries share.

    Args:
        settings: address, credentials and bounds.

    Raises:
        ValueError: the URL is empty or carries credentials, or a certificate file cannot be used.
    """

    framing = CONFLUENT

    def __init__(self, settings: RegistrySettings) -> None:
        self._client = RegistryClient(settings)

    async def latest(self, subject: str) -> RegisteredSchema:
        """The newest version of a subject; see `Registry.latest`."""
        missing = _no_subject(subject)
        found = await self._ask(
            f"/subjects/{_segment(subject)}/versions/latest",
            {SUBJECT_NOT_FOUND: missing, VERSION_NOT_FOUND: missing},
        )
        return _of_subject(found, subject)

    async def version(self, subject: str, version: int) -> RegisteredSchema:
        """One version of a subject; see `Registry.version`."""
        unknown = UnknownSchemaVersion(f"subject {subject} has no version {version}")
        if not 1 <= version <= LARGEST_VERSION:
            raise unknown
        found = await self._ask(
            f"/subjects/{_segment(subject)}/versions/{version}",
            {SUBJECT_NOT_FOUND: _no_subject(subject), VERSION_NOT_FOUND: unknown, INVALID_VERSION: unknown},
        )
        schema = _of_subject(found, subject)
        if schema.version != version:
            raise RegistryUnavailable("the schema registry answered with another version than the one asked for")
        return schema

    async def versions(self, subject: str) -> list[int]:
        """The versions of a subject; see `Registry.versions`."""
        missing = _no_subject(subject)
        found = await self._ask(f"/subjects/{_segment(subject)}/versions", {SUBJECT_NOT_FOUND: missing})
        if not isinstance(found, list) or not all(_is_int(number, 1, LARGEST_VERSION) for number in found):
            raise RegistryUnavailable("the schema registry's list of versions is not a list of positive integers")
        if not found:
            raise missing
        return sorted(found)

    async def by_id(self, schema_id: SchemaId) -> RegisteredSchema:
        """A schema by its global id; see `Registry.by_id`."""
        missing = SchemaMissing(f"the schema registry has no schema with id {schema_id}")
        if not isinstance(schema_id, int) or not 0 <= schema_id <= LARGEST_ID:
            raise missing
        found = await self._ask(f"/schemas/ids/{schema_id}", {SCHEMA_NOT_FOUND: missing})
        return RegisteredSchema(schema_id, "", 0, _text(found), _kind(found), _references(found))

    async def find(self, subject: str, text: str) -> RegisteredSchema:
        """The version of a subject that is the schema of a text; see `Registry.find`."""
        none = no_such_version(subject)
        found = await self._ask(
            f"/subjects/{_segment(subject)}",
            {SUBJECT_NOT_FOUND: _no_subject(subject), SCHEMA_NOT_FOUND: none, INVALID_SCHEMA: none},
            orjson.dumps({"schema": text}),
        )
        return _of_subject(found, subject)

    async def subjects(self) -> list[str]:
        """All subjects; see `Registry.subjects`."""
        found = await self._ask("/subjects", {})
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise RegistryUnavailable("the schema registry's list of subjects is not a list of strings")
        return sorted(found)

    async def aclose(self) -> None:
        """Release connections."""
        await self._client.aclose()

    async def _ask(self, path: str, absences: Mapping[int, GatewayError], body: bytes | None = None) -> Any:
        reply = await (self._client.get(path) if body is None else self._client.post(path, body))
        if reply.status == HTTPStatus.OK:
            return _json(reply)
        if reply.status in {HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY}:
            absence = absences.get(_error_code(reply))
            if absence is not None:
                raise absence
        raise RegistryUnavailable(_refusal(reply), retry_after=reply.retry_after)


def _no_subject(subject: str) -> SchemaMissing:
    return SchemaMissing(f"no schema is registered under subject {subject}")


def _segment(subject: str) -> str:
    """The subject as one path segment; dot segments would be resolved on the way (RFC 3986, 5.2.4)."""
    try:
        encoded = quote(subject, safe="")
    except UnicodeEncodeError:
        encoded = ""
    if encoded in {"", ".", ".."} or len(subject) > LONGEST_SUBJECT:
        raise SchemaMissing("no subject can have this name")
    return encoded


def _json(reply: Reply) -> Any:
    try:
        return orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        raise RegistryUnavailable("the schema registry's answer is not JSON") from None


def _error_code(reply: Reply) -> int:
    """The registry's own error code, 0 when the answer has none: then something else answered in its place."""
    try:
        document = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return 0
    code = document.get("error_code") if isinstance(document, dict) else None
    return code if isinstance(code, int) else 0


def _refusal(reply: Reply) -> str:
    """Why an answer is of no use, in words of the gateway alone."""
    if reply.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return f"the schema registry refuses the gateway's credentials ({reply.status})"
    if HTTPStatus.MULTIPLE_CHOICES <= reply.status < HTTPStatus.BAD_REQUEST:
        return f"the schema registry redirects ({reply.status}), which is not followed: check registry.url"
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return "the schema registry limits the gateway's requests (429)"
    if reply.status == HTTPStatus.NOT_FOUND and _error_code(reply) == 0:
        return "there is no schema registry at the configured address (404): check registry.url"
    return f"the schema registry answered {reply.status}"


def _of_subject(found: Any, subject: str) -> RegisteredSchema:
    text = _text(found)
    if not _is_int(found.get("id"), 0, LARGEST_ID) or not _is_int(found.get("version"), 1, LARGEST_VERSION):
        raise RegistryUnavailable("the schema registry's answer has no usable id and version")
    named = found.get("subject")
    # Answers that were mixed up on the way would encode events with the schema of another topic.
    if not isinstance(named, str) or subject not in {named, _CONTEXT.sub("", named)}:
        raise RegistryUnavailable("the schema registry answered for another subject than the one asked for")
    return RegisteredSchema(found["id"], subject, found["version"], text, _kind(found), _references(found))


def _text(found: Any) -> str:
    text = found.get("schema") if isinstance(found, dict) else None
    if not isinstance(text, str):
        raise RegistryUnavailable("the schema registry's answer has no schema in it")
    return text


def _kind(found: Mapping[str, Any]) -> str:
    """The schema's type; the registry leaves it out for Avro."""
    kind = found.get("schemaType") or "AVRO"
    if not isinstance(kind, str):
        raise RegistryUnavailable("the schema registry's answer has no usable schema type")
    return kind


def _references(found: Mapping[str, Any]) -> tuple[Reference, ...]:
    listed = found.get("references") or []
    if not isinstance(listed, list):
        raise RegistryUnavailable("the schema registry's answer has no usable references")
    return tuple(_reference(one) for one in listed)


def _reference(one: Any) -> Reference:
    if isinstance(one, dict):
        name, subject, version = one.get("name"), one.get("subject"), one.get("version")
        if isinstance(name, str) and isinstance(subject, str) and _is_int(version, 1, LARGEST_VERSION):
            return Reference(name, subject, version)
    raise RegistryUnavailable("the schema registry's answer has no usable references")


def _is_int(value: Any, least: int, most: int) -> TypeGuard[int]:
    return type(value) is int and least <= value <= most
