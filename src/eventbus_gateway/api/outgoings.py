"""How the records of each topic become events: topics and schemas as the way out needs them."""

from eventbus_gateway.api.topics import Topic
from eventbus_gateway.schema_ids import SchemaId
from eventbus_gateway.schemas.cache import CodecOptions, Schemas
from eventbus_gateway.subscriptions.codecs import Codec
from eventbus_gateway.subscriptions.forms import Form
from eventbus_gateway.subscriptions.outgoing import Outgoing


class _TopicCodecs:
    """Codecs of one topic's records; see ``Codecs``."""

    def __init__(self, schemas: Schemas, options: CodecOptions) -> None:
        self._schemas = schemas
        self._options = options

    def ready(self, schema_id: SchemaId) -> Codec | None:
        schema = self._schemas.ready_by_id(schema_id, self._options)
        return schema.codec if schema is not None else None

    async def load(self, schema_id: SchemaId) -> Codec:
        return (await self._schemas.by_id(schema_id, self._options)).codec


class Outgoings:
    """What makes events of records, by topic.

    Args:
        schemas: where the writers' schemas are found.
    """

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas
        self._made: dict[str, Outgoing] = {}

    def known(self, topic: str) -> Outgoing | None:
        """The same for a topic that was asked for before, by its name."""
        return self._made.get(topic)

    def of(self, topic: Topic) -> Outgoing:
        """What makes events of a topic's records; only for topics that exist, which bound how many are kept."""
        found = self._made.get(topic.name)
        if found is not None:
            return found
        settings = topic.settings
        form = Form(
            topic.name,
            topic.is_avro,
            settings.key_format == "avro",
            settings.source or f"/topics/{topic.name}",
            settings.type,
            _TopicCodecs(self._schemas, topic.options),
            self._schemas.framing,
        )
        made = self._made[topic.name] = Outgoing(form)
        return made
