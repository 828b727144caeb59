"""How the records of a topic are stored, and what can keep one from being understood."""

from typing import NamedTuple

from eventbus_gateway.schema_ids import CONFLUENT, Framing, SchemaId
from eventbus_gateway.subscriptions.codecs import Codecs

AVRO = "application/avro"
JSON = "application/json"
IS_AVRO = {AVRO: True, JSON: False}
_IS_STORED_AVRO: dict[bytes | None, bool] = {name.encode(): is_avro for name, is_avro in IS_AVRO.items()}


class Undecodable(NamedTuple):
    """Why a record cannot be decoded.

    Args:
        code: stable word for it.
        reason: a sentence for people that quotes nothing.
    """

    code: str
    reason: str


class Form(NamedTuple):
    """How the records of one topic are stored.

    Args:
        topic: its name.
        is_avro: values are Avro, where their content type does not say otherwise; else JSON.
        has_avro_keys: keys are Avro, else text.
        source: ``source`` of events without one.
        type: ``type`` of events without one; None takes the name of the schema, else that of the topic.
        codecs: where the writers' schemas are found.
        framing: how records name those schemas.
    """

    topic: str
    is_avro: bool
    has_avro_keys: bool
    source: str
    type: str | None
    codecs: Codecs
    framing: Framing = CONFLUENT

    def is_stored_avro(self, content_type: bytes | None) -> bool:
        """Whether a value is Avro.

        Args:
            content_type: what its record's header says, None where there is none.
        """
        return _IS_STORED_AVRO.get(content_type, self.is_avro)


class SchemaNeeded(Exception):
    """A record cannot be looked at before a schema is fetched, which :meth:`Opened.prepare` does.

    Args:
        schema_id: which one.
    """

    def __init__(self, schema_id: SchemaId) -> None:
        super().__init__(schema_id)
        self.schema_id = schema_id


class NotDecoded(Exception):
    """A record cannot be decoded.

    Args:
        why: what is told about it.
    """

    def __init__(self, why: Undecodable) -> None:
        super().__init__(why.code)
        self.why = why
