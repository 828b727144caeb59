"""Whether two texts are the same Avro schema."""

from typing import Any

import orjson

MAX_DEPTH = 128
_NAMED = frozenset({"record", "error", "enum", "fixed"})
_PRIMITIVE = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


def normal_form(text: str) -> bytes:
    """A schema such that texts which differ only in how they are written become equal.

    White space, order of keys, where a namespace stands and ``{"type": "string"}`` for ``"string"`` do not count;
    everything else does, also documentation, defaults and properties that Avro does not know.

    Source: Avro specification, Names and Schema Declaration.

    Args:
        text: the schema as JSON text.

    Raises:
        ValueError: not JSON, not of the shape of a schema, or nested too deeply.
    """
    return orjson.dumps(_normal(orjson.loads(text), "", 0), option=orjson.OPT_SORT_KEYS)


def _normal(schema: Any, namespace: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"a schema may be nested {MAX_DEPTH} levels deep")
    if isinstance(schema, str):
        return schema if schema in _PRIMITIVE else _full_name(schema, namespace)
    if isinstance(schema, list):
        return [_normal(branch, namespace, depth + 1) for branch in schema]
    if not isinstance(schema, dict) or "type" not in schema:
        raise ValueError("a schema is a name, an array, or an object with a type")
    kind = schema["type"]
    if isinstance(kind, str) and kind in _NAMED:
        return _named(schema, namespace, depth)
    inner = {"array": "items", "map": "values"}.get(kind) if isinstance(kind, str) else None
    if inner is not None:
        return {**schema, inner: _normal(schema.get(inner), namespace, depth + 1)}
    if len(schema) == 1:
        return _normal(kind, namespace, depth + 1)
    return {**schema, "type": _normal(kind, namespace, depth + 1)}


def _named(schema: dict[str, Any], namespace: str, depth: int) -> dict[str, Any]:
    written, own = schema.get("name"), schema.get("namespace", namespace)
    if not (isinstance(written, str) and isinstance(own, str)):
        raise ValueError("a named schema has a name, and its namespace is a string")  # noqa: TRY004 - as of bad JSON
    name = _full_name(written, own)
    normal = {key: value for key, value in schema.items() if key != "namespace"} | {"name": name}
    if "fields" in schema:
        fields = schema["fields"]
        if not isinstance(fields, list) or not all(isinstance(field, dict) for field in fields):
            raise ValueError("the fields of a record are an array of objects")
        inside = name.rpartition(".")[0]
        normal["fields"] = [{**field, "type": _normal(field.get("type"), inside, depth + 1)} for field in fields]
    return normal


def _full_name(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"
