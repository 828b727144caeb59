"""The configuration that will be used, for people."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import SecretStr

from eventbus_gateway.config.keys import dotted
from eventbus_gateway.config.model import Config
from eventbus_gateway.section import Section

MASK = "********"


def describe(config: Config) -> str:
    """Every key with the value that will be used and where it came from, as TOML text; secrets are masked."""
    lines: list[str] = []
    for name in type(config).model_fields:
        if name == "topics":
            for topic, settings in config.topics.items():
                lines += _table(config, settings, (name, topic))
        else:
            lines += _table(config, getattr(config, name), (name,))
    return "\n".join(lines).lstrip("\n") + "\n"


def toml_value(value: Any) -> str:
    """A value as TOML writes it, a secret as a mask."""
    if isinstance(value, SecretStr):
        return f'"{MASK}"'
    if isinstance(value, Section):
        pairs = [f"{name} = {toml_value(item)}" for name, item in value if item is not None]
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, tuple):
        items = [toml_value(item) for item in value]
        if value and isinstance(value[0], Section):
            return "[\n" + "".join(f"  {item},\n" for item in items) + "]"
        return f"[{', '.join(items)}]"
    # JSON's strings are TOML's basic strings, but for DEL (TOML 1.0, section String).
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _table(config: Config, section: Section, path: tuple[str, ...]) -> Iterator[str]:
    yield f"\n[{dotted(path)}]"
    for name, value in section:
        source = config.source((*path, name)) or _default(path)
        if value is None:
            yield f"# {name} is not set  # {source}"
        else:
            yield f"{name} = {toml_value(value)}  # {source}"


def _default(path: tuple[str, ...]) -> str:
    return "as in topic_defaults" if path[0] == "topics" else "default"
