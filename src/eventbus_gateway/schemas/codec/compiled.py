"""A compiled schema: encode, decode, and what to say when either fails."""

from collections.abc import Callable, Sequence
from typing import Any

from eventbus_gateway.errors import CorruptRecord, Fault, InternalError, InvalidEvent
from eventbus_gateway.schemas.codec.decoder import DAMAGES, MAX_WEIGHTLESS_ITEMS, Decoder
from eventbus_gateway.schemas.codec.defaults import Defaults
from eventbus_gateway.schemas.codec.encoder import Encoder
from eventbus_gateway.schemas.codec.explain import MAX_FAULTS, Explanation
from eventbus_gateway.schemas.codec.parse import parse
from eventbus_gateway.schemas.codec.schema import Dialect, Node, Record, Union, Unknown, children, tag_of
from eventbus_gateway.schemas.codec.shape import Shape
from eventbus_gateway.schemas.codec.unions import Bare, Tagged
from eventbus_gateway.schemas.codec.wire import Damage


class Codec:
    """JSON to Avro and back for one schema.

    Made by ``compile_codec``. It has no state of its own, so that any number of threads can use it.

    Args:
        top: the schema.
        prefix: what every encoded value starts with.
        dialect: of the JSON side.
        unknown: what happens to fields that a record does not know.

    Attributes:
        name: full name of the top-level type.
        encode: the Avro form of an event, after the prefix; raises InvalidEvent with every fault, up to a bound.
    """

    __slots__ = ("_decode", "_prefix", "_top", "_unions", "_unknown", "encode", "name")

    def __init__(self, top: Node, prefix: bytes, dialect: Dialect, unknown: Unknown) -> None:
        shape = Shape(top)
        Defaults(shape).resolve()
        self.name = tag_of(top)
        self._top = top
        self._unknown: Unknown = unknown
        self._unions = {
            id(union): Bare(union, unknown) if dialect == "plain" else Tagged(union)
            for union in _unions(top, shape.records)
        }
        self._prefix = len(prefix)
        # Not a method: the call in between would cost as much as a field.
        self.encode = Encoder(self._unions, unknown).compiled(top, prefix, self._refusal)
        if shape.weightless_items:
            self.encode = self._within_weightless(self.encode)
        self._decode = Decoder(shape, self._unions).compiled(top)

    def pack(self, pack: Callable[[bytes], bytes]) -> None:
        """Put everything that is encoded through a function, such as compression.

        Args:
            pack: from an encoded value to the one that is stored.
        """
        encode = self.encode
        self.encode = lambda value: pack(encode(value))

    def decode(self, data: bytes, start: int = 0) -> Any:
        """The JSON form of a record.

        Args:
            data: the record's value.
            start: where Avro begins in it, after any framing.

        Raises:
            CorruptRecord: the bytes are not a record of this schema.
        """
        if not 0 <= start <= len(data):
            raise CorruptRecord("The record is shorter than its framing.")
        try:
            return self._decode(data, start)
        except DAMAGES as damage:
            detail = damage.detail if isinstance(damage, Damage) else _WORDS.get(type(damage), "it ends too early")
            raise CorruptRecord(f"The record does not decode with the schema {self.name}: {detail}.") from None

    def faults(self, value: Any) -> Explanation:
        """Every fault of an event, by the slow walk; none for one that fits."""
        explanation = Explanation(self._unions, self._unknown)
        explanation.walk(self._top, value)
        return explanation

    def _refusal(self, value: Any) -> InvalidEvent | InternalError:
        found = self.faults(value)
        if not found.faults:
            return InternalError(f"The encoder of the schema {self.name} refused an event without a fault.")
        count = f"more than {MAX_FAULTS} faults, the first {MAX_FAULTS} are listed" if found.cut else ""
        if not count:
            count = "1 fault" if len(found.faults) == 1 else f"{len(found.faults)} faults"
        return InvalidEvent(f"The event does not fit the schema {self.name}: {count}.", found.faults)

    def _within_weightless(self, encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
        """Array items of no bytes are bounded when a record is read, so a record with more must not be written."""

        def checked(value: Any) -> bytes:
            encoded = encode(value)
            try:
                self.decode(encoded, self._prefix)
            except CorruptRecord:
                fault = Fault("", f"expected at most {MAX_WEIGHTLESS_ITEMS} array items that take no bytes, got more")
                raise InvalidEvent(f"The event does not fit the schema {self.name}: 1 fault.", [fault]) from None
            return encoded

        return checked


_WORDS: dict[type[BaseException], str] = {UnicodeDecodeError: "a string is not UTF-8"}


def compile_codec(
    text: str,
    *,
    named: Sequence[str] = (),
    prefix: bytes = b"",
    dialect: Dialect = "plain",
    unknown_fields: Unknown = "refuse",
) -> Codec:
    """Compile a schema.

    Args:
        text: the Avro schema as JSON.
        named: texts of the schemas that it refers to, each after those that it needs itself.
        prefix: what every encoded value starts with, such as the registry's framing.
        dialect: ``plain`` takes natural JSON (see ``unions`` for how branches are told apart), ``avro`` exactly the
            JSON encoding of the Avro specification.
        unknown_fields: what happens to data that the schema does not have.

    Raises:
        SchemaUnusable: the schema is not valid, or larger than the bounds of ``parse`` and ``shape``.
    """
    return Codec(parse(text, named, dialect), prefix, dialect, unknown_fields)


def _unions(top: Node, records: Sequence[Record]) -> list[Union]:
    found: dict[int, Union] = {}
    pending = [top, *(field.node for record in records for field in record.fields)]
    while pending:
        node = pending.pop()
        if isinstance(node, Union):
            found[id(node)] = node
        if not isinstance(node, Record):
            pending += children(node)
    return list(found.values())
