"""``GET /v1/topics`` and ``GET /v1/topics/{topic}``: what can be published where."""

from typing import Any

import orjson

from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.topics import Topics
from eventbus_gateway.auth.policy import INCLUDED, Action, Policy
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.errors import GatewayError
from eventbus_gateway.schemas.cache import CodecOptions, Schemas


class DescribeTopics:
    """Shows callers the topics that they have a grant for.

    Args:
        topics: finds topics.
        schemas: finds their schemas.
        policy: decides who sees what.
    """

    def __init__(self, topics: Topics, schemas: Schemas, policy: Policy) -> None:
        self._topics = topics
        self._schemas = schemas
        self._policy = policy

    async def all(self, request: Request) -> Answer:
        """All topics that the caller may use in any way."""
        known = self._topics.all()
        names = [name for name in sorted(known) if self._policy.may(request.principal, Action.DESCRIBE, name)]
        found = [self._summary(request.principal, name, known[name].partitions) for name in names]
        return Answer(200, orjson.dumps({"topics": found}))

    async def one(self, request: Request) -> Answer:
        """One topic with its schema and settings."""
        name = request.params["topic"]
        topic = await self._topics.require(name)
        metadata = await self._topics.metadata(name)
        summary = self._summary(request.principal, name, metadata.partitions)
        settings = topic.settings
        has_avro_keys = settings.key_format == "avro"
        details = {
            "key": settings.key,
            "keyRequired": topic.key_required,
            "keyFormat": settings.key_format,
            "unknownFields": settings.unknown_fields,
            "dialect": settings.dialect,
            "keySchema": await self._schema(topic.key_subject, None, topic.options) if has_avro_keys else None,
            "schema": await self._schema(topic.subject, settings.schema_version, topic.options)
            if topic.is_avro
            else None,
        }
        return Answer(200, orjson.dumps(summary | details))

    def _actions(self, principal: Principal, topic: str) -> list[str]:
        return [action.value for action in INCLUDED if self._policy.may(principal, action, topic)]

    def _summary(self, principal: Principal, name: str, partitions: int) -> dict[str, Any]:
        return {
            "name": name,
            "partitions": partitions,
            "format": self._topics.view(name).settings.format,
            "actions": self._actions(principal, name),
            "events": f"/v1/topics/{name}/events",
        }

    async def _schema(self, subject: str, version: int | None, options: CodecOptions) -> dict[str, Any]:
        try:
            schema = await self._schemas.get(subject, version, options)
        except GatewayError as error:
            # The topic exists all the same; whoever asks learns why it takes no events now.
            return {"subject": subject, "code": error.code, "detail": error.detail}
        return {
            "subject": schema.subject,
            "id": schema.id,
            "version": schema.version,
            "schema": orjson.loads(schema.text),
        }
