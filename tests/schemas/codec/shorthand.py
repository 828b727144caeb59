"""Short forms for the tests of single rules."""

import io
import json
from typing import Any

import fastavro

from eventbus_gateway.errors import InvalidEvent
from eventbus_gateway.schemas.codec import Codec, compile_codec


def record(**fields: Any) -> dict[str, Any]:
    """A record schema; a field is a type, or a whole declaration with its own ``type`` and ``default``."""
    declared = [
        {"name": name, **each} if isinstance(each, dict) and "of" in each else {"name": name, "type": each}
        for name, each in fields.items()
    ]
    return {
        "type": "record",
        "name": "R",
        "fields": [{("type" if key == "of" else key): part for key, part in each.items()} for each in declared],
    }


def codec_of(schema: Any, **options: Any) -> Codec:
    """The codec of a schema given as JSON values."""
    return compile_codec(json.dumps(schema), **options)


def faults(codec: Codec, value: Any) -> dict[str, str]:
    """The faults of a value by pointer; none where it is encoded."""
    try:
        codec.encode(value)
    except InvalidEvent as refusal:
        return dict(refusal.faults)
    return {}


def refused(schema: Any, value: Any, **options: Any) -> bool:
    """Whether a value does not fit a type."""
    return bool(faults(codec_of(schema, **options), value))


def read(schema: Any, raw: bytes) -> Any:
    """What fastavro reads, with its logical types."""
    stream = io.BytesIO(raw)
    datum = fastavro.schemaless_reader(stream, fastavro.parse_schema(schema))
    assert stream.tell() == len(raw)
    return datum


def through(schema: Any, value: Any, **options: Any) -> Any:
    """What comes back when a value is encoded and decoded."""
    codec = codec_of(schema, **options)
    return codec.decode(codec.encode(value))
