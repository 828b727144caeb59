"""The reference of all keys, written from the sections themselves."""

from collections.abc import Iterator
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from eventbus_gateway.config.describing import toml_value
from eventbus_gateway.config.keys import KEYS, TABLES, Key
from eventbus_gateway.config.model import MAX_TOPICS, Config
from eventbus_gateway.config.secrets import MAX_SECRET_BYTES

_INTRODUCTION = f"""\
# Configuration

<!-- Written by `python -m eventbus_gateway.config`; a test compares. -->

One TOML file, whose keys can all be set by environment variables too. It is validated whole at start, and every
fault is listed at once. `eventbus check-config` shows what will be used and where each value came from, with secrets
masked.

```toml
[kafka]
bootstrap_servers = "broker-1:9092,broker-2:9092"

[registry]
url = "https://registry.example"

[[auth.api_keys]]
principal = "scheduling"
sha256 = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"

[[auth.grants]]
principal = "scheduling"
actions = ["publish"]
topics = ["appointments"]

[topics.appointments]
key = "/appointmentId"
```

## Where values come from

- `EVENTBUS_CONFIG` names the file. Without a file, the environment alone is the configuration.
- `EVENTBUS_<TABLE>__<KEY>` sets a key, with two underscores between the levels:
  `EVENTBUS_KAFKA__BOOTSTRAP_SERVERS=broker-1:9092`. It wins over the file.
- Strings are taken as they are. Numbers, `true` and `false`, arrays and tables are written as JSON:
  `EVENTBUS_HTTP__PORT=8080`,
  `EVENTBUS_AUTH__GRANTS='[{{"principal": "*", "actions": ["publish"], "topics": ["*"]}}]'`.
- An empty variable unsets a key that may be empty.
- A table can be given whole, as a JSON object: `EVENTBUS_KAFKA='{{"linger_ms": 5}}'`. Keys that it leaves out keep
  their value, and a variable of one key wins over the variable of its table.
- `EVENTBUS_TOPICS__<NAME>__<KEY>` sets a key of one topic. A name in capitals means the topic in lower case, any
  other name is taken as it is. Names that the environment cannot carry (in many shells those with `.` or `-`), names
  in capitals and names with two underscores in a row go into the JSON object:
  `EVENTBUS_TOPICS='{{"clinic.visits": {{"key": "/visitId"}}}}'`.
- Unknown keys and unknown `EVENTBUS_` variables are faults. The variables with which Kubernetes describes Services
  (`EVENTBUS_GATEWAY_SERVICE_HOST` and its like) are left alone.
- Relative paths start at the working directory of the process.

## Secrets

Every key of the type `secret` takes its value in any of these ways, also within arrays of tables:

| way | example |
|---|---|
| a file, named by the same key with `_file` appended | `sasl_password_file = "/run/secrets/kafka"` |
| the same in the environment | `EVENTBUS_KAFKA__SASL_PASSWORD_FILE=/run/secrets/kafka` |
| a reference to a file | `sasl_password = "file:/run/secrets/kafka"` |
| a reference to a variable | `sasl_password = "env:KAFKA_PASSWORD"` |
| the variable of the key | `EVENTBUS_KAFKA__SASL_PASSWORD=...` |
| the value itself, for experiments | `sasl_password = "..."` |

- One line break at the end of a file or variable is not part of the secret. A secret has at most {MAX_SECRET_BYTES}
  bytes; an empty one is a fault.
- What a reference names is taken as it is: a secret that begins with `env:` or `file:` itself goes into a file or a
  variable that is named by a reference. Variables that references name must not begin with `EVENTBUS_`.
- A missing variable or file, and a key that is given together with its `_file` key, are faults. They are listed with
  all others and name the key and the variable or path, never a value.
- Secrets are read once, at start. After a secret was changed (a mounted Secret of Kubernetes changes its files in
  place), restart the replicas one after the other.
- No secret appears in logs, errors, metrics or the output of `check-config`.
"""

_TOPICS = f"""
A table for each topic that needs something else than `[topic_defaults]`; keys that it leaves out are taken from
there, and so are its keys. Names with dots are quoted: `[topics."clinic.visits"]`. At most {MAX_TOPICS} topics.
"""


def reference() -> str:
    """The reference as Markdown."""
    lines = [_INTRODUCTION]
    for table in TABLES:
        field = Config.model_fields[table]
        if table == "topics":
            lines.append(f"## `[topics.<name>]`\n{_TOPICS}")
            continue
        keys = [key for key in KEYS if key.path[0] == table]
        lines.append(f"## `[{table}]`\n\n{_text(field)}\n")
        lines += [*_rows((key.path[-1], key.field) for key in keys), ""]
        for key in keys:
            lines += _items(key)
    return "\n".join(lines).rstrip("\n") + "\n"


def _items(key: Key) -> Iterator[str]:
    """The tables of an array, and of arrays inside them."""
    if key.items is None:
        return
    yield f"### `[[{'.'.join(key.path)}]]`\n\n{(key.items.__doc__ or '').strip()}\n"
    yield from _rows(key.items.model_fields.items())
    yield ""
    for name, field in key.items.model_fields.items():
        yield from _items(Key((*key.path, name), field))


def _rows(fields: Any) -> Iterator[str]:
    yield "| key | type | default | bounds | |"
    yield "|---|---|---|---|---|"
    for name, field in fields:
        key = Key((name,), field)
        cells = (f"`{name}`", _type(key), _default(field), _bounds(key), _text(field))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(key: Key) -> str:
    names = {str: "string", int: "integer", float: "number", bool: "boolean", SecretStr: "string, [secret](#secrets)"}
    kinds = [kind for kind in key.types if kind is not NoneType]
    if get_origin(key.field.annotation) is tuple:
        return "array of tables" if key.items is not None else "array of strings"
    return " or ".join("string" if get_origin(kind) is Literal else names[kind] for kind in kinds)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return "not set" if field.default is None else f"`{toml_value(field.default)}`"


def _bounds(key: Key) -> str:
    choices = [choice for kind in _choices(key) for choice in get_args(kind)]
    bounds = [*(f"`{choice}`" for choice in choices), *filter(None, map(_bound, key.field.metadata))]
    return ", ".join(bounds)


def _choices(key: Key) -> Iterator[Any]:
    array = get_origin(key.field.annotation) is tuple
    for kind in get_args(key.field.annotation) if array else key.types:
        if get_origin(kind) is Literal:
            yield kind


def _bound(limit: Any) -> str:
    match limit:
        case annotated_types.Ge():
            return f"≥ {limit.ge}"
        case annotated_types.Gt():
            return f"> {limit.gt}"
        case annotated_types.Le():
            return f"≤ {limit.le}"
        case annotated_types.Lt():
            return f"< {limit.lt}"
        case annotated_types.MinLen():
            return f"length ≥ {limit.min_length}"
        case annotated_types.MaxLen():
            return f"length ≤ {limit.max_length}"
        case _:
            pattern = getattr(limit, "pattern", None)
            return f"`{pattern}`" if pattern else ""


def _text(field: FieldInfo) -> str:
    return " ".join((field.description or "").replace("``", "`").split())
