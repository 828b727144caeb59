"""Every key that the configuration knows, read off the sections themselves."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from eventbus_gateway.config.model import Config
from eventbus_gateway.section import Section

Path = tuple[str | int, ...]

PREFIX = "EVENTBUS_"

ANY_TOPIC = "<name>"
"""Stands in a path for the name of a topic."""


class Key(NamedTuple):
    """One setting.

    Args:
        path: section, ``ANY_TOPIC`` below ``topics``, and name.
        field: type, default, bounds and description.
    """

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def types(self) -> tuple[Any, ...]:
        """The alternatives of its type, with ``NoneType`` among them where it may be empty."""
        annotation = self.field.annotation
        return get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)

    @property
    def optional(self) -> bool:
        """Whether it may be empty."""
        return NoneType in self.types

    @property
    def secret(self) -> bool:
        """Whether its value must never be shown."""
        return SecretStr in self.types

    @property
    def text(self) -> bool:
        """Whether its value is a string."""
        return any(kind in {str, SecretStr} or get_origin(kind) is Literal for kind in self.types)

    @property
    def items(self) -> type[Section] | None:
        """The section that its items have, where its value is an array of tables."""
        item = next(iter(get_args(self.field.annotation)), None)
        return item if isinstance(item, type) and issubclass(item, Section) else None

    @property
    def item_secrets(self) -> tuple[str, ...]:
        """The names of the secrets in each of its items."""
        fields = {} if self.items is None else self.items.model_fields
        return tuple(name for name, field in fields.items() if Key((name,), field).secret)

    @property
    def file_path(self) -> tuple[str, ...]:
        """The key that names a file with its value, for secrets."""
        return (*self.path[:-1], f"{self.path[-1]}_file")

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + "__".join(part if part == ANY_TOPIC else part.upper() for part in self.path)


def _keys() -> Iterator[Key]:
    for table, field in Config.model_fields.items():
        many = get_args(field.annotation)  # topics: settings by name
        section: Any = many[1] if many else field.annotation
        above = (table, ANY_TOPIC) if many else (table,)
        yield from (Key((*above, name), setting) for name, setting in section.model_fields.items())


TABLES = tuple(Config.model_fields)
KEYS = tuple(_keys())
BY_PATH = {key.path: key for key in KEYS}
SECRETS_BY_FILE = {key.file_path: key for key in KEYS if key.secret}
VARIABLES = (
    *(PREFIX + table.upper() for table in TABLES),
    *(key.variable for key in KEYS),
    *(f"{key.variable}_FILE" for key in SECRETS_BY_FILE.values()),
)


def general(path: Path) -> tuple[str, ...]:
    """The path of a key without what is particular to one topic or array item."""
    if path[0] == "topics" and len(path) > 1:
        return ("topics", ANY_TOPIC, *map(str, path[2:3]))
    return tuple(map(str, path[:2]))


def dotted(path: Iterable[str | int]) -> str:
    """A path as TOML writes it, with ``[n]`` for the items of arrays."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{bare_or_quoted(part)}"
    return text.removeprefix(".")


def bare_or_quoted(part: str) -> str:
    """A key as TOML writes it (TOML 1.0, section Keys)."""
    return part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part)


def hint(path: Path) -> str:
    """A question that names the known key which an unknown one is most like, or nothing."""
    above = general(path[:-1]) if len(path) > 1 else ()
    if not above:
        return nearest(str(path[0]), TABLES)
    array = BY_PATH.get(above)
    if array is not None and array.items is not None:
        return nearest(str(path[-1]), array.items.model_fields)
    known = [name for known in (*BY_PATH, *SECRETS_BY_FILE) for name in known[-1:] if known[:-1] == above]
    return nearest(str(path[-1]), known)


def nearest(name: str, known: Iterable[str]) -> str:
    """A question that names what is most like a name, or nothing."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {matches[0]}?" if matches else ""
