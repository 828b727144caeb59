"""The AWS Glue Schema Registry as a source of schemas.

A subject ``<topic>-value`` is the schema ``<topic>`` (or ``<topic>-value``) of one registry, ``<topic>-key`` is
``<topic>-key``. Ids are the UUIDs of schema versions. Versions that are not available (being checked, refused for
their incompatibility, being deleted) count as not there.

Source: AWS Glue API, Schema Registry: GetSchemaVersion, GetSchemaByDefinition, ListSchemaVersions, ListSchemas,
GetSchema.
"""

import re
from typing import Any
from uuid import UUID

from botocore.session import Session

from eventbus_gateway.errors import RegistryUnavailable, SchemaMissing, UnknownSchemaVersion
from eventbus_gateway.schema_ids import GlueFraming, SchemaId
from eventbus_gateway.schemas.glue_client import GlueClient, NotThere
from eventbus_gateway.schemas.registry import RegisteredSchema, no_such_version
from eventbus_gateway.schemas.settings import RegistrySettings

AVAILABLE = "AVAILABLE"
INVALID = "InvalidInputException"
LARGEST_VERSION = 100_000
MAX_DEFINITION_CHARACTERS = 170_000
MAX_PAGES = 1_000
PAGE = 100
_SCHEMA_NAME = re.compile(r"[A-Za-z0-9_$#.-]{1,255}")


class GlueRegistry:
    """Reads schemas of one registry in AWS Glue.

    Args:
        settings: registry, region, endpoint, credentials and bounds.
        session: where the gateway's own credentials come from; the default chain when None.

    Raises:
        ValueError: no region is known, or the profile does not exist.
    """

    def __init__(self, settings: RegistrySettings, session: Session | None = None) -> None:
        self._client = GlueClient(settings, session)
        self._registry = settings.glue_registry
        self._by_topic = settings.glue_schema_names == "topic"
        self.framing = GlueFraming(
            compresses=settings.glue_compression == "zlib", max_bytes=settings.max_decompressed_bytes
        )

    async def latest(self, subject: str) -> RegisteredSchema:
        """The newest version of a subject; see `Registry.latest`."""
        found = await self._version(subject, {"LatestVersion": True})
        if found is None:
            raise _no_subject(subject)
        if not _is_available(found):
            # The newest one is being checked, or was refused: those before it are as good as ever.
            return await self.version(subject, (await self.versions(subject))[-1])
        return self._of_subject(found, subject)

    async def version(self, subject: str, version: int) -> RegisteredSchema:
        """One version of a subject; see `Registry.version`."""
        unknown = UnknownSchemaVersion(f"subject {subject} has no version {version}")
        in_range = 1 <= version <= LARGEST_VERSION
        found = await self._version(subject, {"VersionNumber": version}) if in_range else None
        if found is None or not _is_available(found):
            await self._must_exist(subject)
            raise unknown
        schema = self._of_subject(found, subject)
        if schema.version != version:
            raise RegistryUnavailable("AWS Glue answered with another version than the one asked for")
        return schema

    async def versions(self, subject: str) -> list[int]:
        """The versions of a subject; see `Registry.versions`."""
        listed = await self._list("list_schema_versions", "Schemas", SchemaId=self._name(subject))
        if listed is None:
            raise _no_subject(subject)
        numbers = [one.get("VersionNumber") for one in listed if one.get("Status") == AVAILABLE]
        if not all(type(number) is int and number >= 1 for number in numbers):
            raise RegistryUnavailable("AWS Glue's list of versions is not a list of positive integers")
        if not numbers:
            raise _no_subject(subject)
        return sorted(number for number in numbers if number is not None)

    async def by_id(self, schema_id: SchemaId) -> RegisteredSchema:
        """A schema by the UUID of its version; see `Registry.by_id`."""
        missing = SchemaMissing(f"the schema registry has no schema with id {schema_id}")
        if not isinstance(schema_id, UUID):
            raise missing
        try:
            found = await self._client.call("get_schema_version", SchemaVersionId=str(schema_id))
        except NotThere:
            raise missing from None
        # Records that were written with a version stay readable while that is being deleted.
        if _uuid(found) != schema_id:
            raise RegistryUnavailable("AWS Glue answered with another schema than the one asked for")
        return RegisteredSchema(schema_id, "", 0, _text(found), _kind(found))

    async def find(self, subject: str, text: str) -> RegisteredSchema:
        """The version of a subject that is the schema of a text; see `Registry.find`."""
        schema_id = self._name(subject)
        found: dict[str, Any] | None = None
        if 0 < len(text) <= MAX_DEFINITION_CHARACTERS:
            try:
                found = await self._client.call(
                    "get_schema_by_definition", INVALID, SchemaId=schema_id, SchemaDefinition=text
                )
            except NotThere:
                found = None
        if found is None or not _is_available(found):
            await self._must_exist(subject)
            raise no_such_version(subject)
        whole = await self._client.call("get_schema_version", SchemaVersionId=str(_uuid(found)))
        return self._of_subject(whole, subject)

    async def subjects(self) -> list[str]:
        """All subjects; see `Registry.subjects`."""
        listed = await self._list("list_schemas", "Schemas", RegistryId={"RegistryName": self._registry})
        if listed is None:
            raise RegistryUnavailable(f"AWS Glue has no registry {self._registry}: check registry.glue_registry")
        names = [one.get("SchemaName") for one in listed if one.get("SchemaStatus") == AVAILABLE]
        return sorted(self._subject(name) for name in names if isinstance(name, str))

    async def aclose(self) -> None:
        """Release threads and connections."""
        await self._client.aclose()

    async def _version(self, subject: str, number: dict[str, Any]) -> dict[str, Any] | None:
        try:
            return await self._client.call(
                "get_schema_version", SchemaId=self._name(subject), SchemaVersionNumber=number
            )
        except NotThere:
            return None

    async def _must_exist(self, subject: str) -> None:
        try:
            await self._client.call("get_schema", SchemaId=self._name(subject))
        except NotThere:
            raise _no_subject(subject) from None

    async def _list(self, operation: str, member: str, **parameters: Any) -> list[dict[str, Any]] | None:
        """All pages of a list, None where what it is about does not exist."""
        listed: list[dict[str, Any]] = []
        for _ in range(MAX_PAGES):
            try:
                page = await self._client.call(operation, **parameters, MaxResults=PAGE)
            except NotThere:
                return None
            listed += page.get(member) or []
            if not page.get("NextToken"):
                return listed
            parameters["NextToken"] = page["NextToken"]
        raise RegistryUnavailable(f"AWS Glue's list has more than {MAX_PAGES} pages")

    def _name(self, subject: str) -> dict[str, str]:
        """Glue's name for a subject."""
        name = subject.removesuffix("-value") if self._by_topic else subject
        ends = subject.endswith(("-value", "-key"))
        if not _SCHEMA_NAME.fullmatch(name) or (self._by_topic and not ends):
            raise SchemaMissing("no schema in AWS Glue can have the name of this subject")
        return {"RegistryName": self._registry, "SchemaName": name}

    def _subject(self, name: str) -> str:
        return f"{name}-value" if self._by_topic and not name.endswith("-key") else name

    def _of_subject(self, found: dict[str, Any], subject: str) -> RegisteredSchema:
        number = found.get("VersionNumber")
        if type(number) is not int or number < 1:
            raise RegistryUnavailable("AWS Glue's answer has no usable version")
        # Answers that were mixed up on the way would encode events with the schema of another topic.
        ending = f":schema/{self._registry}/{self._name(subject)['SchemaName']}"
        if not str(found.get("SchemaArn")).endswith(ending):
            raise RegistryUnavailable("AWS Glue answered for another schema than the one asked for")
        return RegisteredSchema(_uuid(found), subject, number, _text(found), _kind(found))


def _no_subject(subject: str) -> SchemaMissing:
    return SchemaMissing(f"no schema is registered under subject {subject}")


def _is_available(found: dict[str, Any]) -> bool:
    status = found.get("Status")
    if not isinstance(status, str):
        raise RegistryUnavailable("AWS Glue's answer does not say whether the version is available")
    return status == AVAILABLE


def _uuid(found: dict[str, Any]) -> UUID:
    try:
        return UUID(found.get("SchemaVersionId"))
    except (ValueError, TypeError, AttributeError):
        raise RegistryUnavailable("AWS Glue's answer has no usable schema version id") from None


def _text(found: dict[str, Any]) -> str:
    text = found.get("SchemaDefinition")
    if not isinstance(text, str):
        raise RegistryUnavailable("AWS Glue's answer has no schema in it")
    return text


def _kind(found: dict[str, Any]) -> str:
    return str(found.get("DataFormat") or "AVRO")
