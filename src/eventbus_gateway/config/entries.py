"""Values as they were found, before any check: one entry per key, with the place where it came from."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from eventbus_gateway.config.faults import ConfigFault
from eventbus_gateway.config.keys import TABLES, Path


class Source(NamedTuple):
    """Where a value came from.

    Args:
        name: the file or the variable.
        rank: of two sources of one value, the higher one counts; 0 is the configuration file.
    """

    name: str
    rank: int


class Entry(NamedTuple):
    """One value.

    Args:
        value: plain data, with tuples for arrays.
        source: where it came from.
    """

    value: Any
    source: Source


class Found(NamedTuple):
    """What a source holds.

    Args:
        entries: by path, one per key; at the path of a table where something else stands in its place.
        faults: what is wrong with the source itself.
    """

    entries: dict[Path, Entry]
    faults: list[ConfigFault]


def is_table(path: Path) -> bool:
    """Whether keys, and not a value, belong at a path."""
    return path[0] in TABLES and len(path) < key_depth(path)


def key_depth(path: Path) -> int:
    """How many parts of a path lead to its key: ``[topics.<name>]`` is one level deeper than other tables."""
    return 3 if path[0] == "topics" else 2


def flatten(path: Path, value: Any, source: Source) -> Iterator[tuple[Path, Entry]]:
    """The entries of a value that stands at a path, which may be a table."""
    if not isinstance(value, dict) or (path and not is_table(path)):
        yield path, Entry(_with_tuples(value), source)
    else:
        if len(path) == 2:
            yield path, Entry({}, source)  # a topic's table counts even when it is empty
        for name, nested in value.items():
            yield from flatten((*path, name), nested, source)


def nest(entries: Mapping[Path, Entry]) -> dict[str, Any]:
    """Entries as nested tables; nothing but a table may stand in the place of a table."""
    root: dict[Any, Any] = {}
    for path in sorted(entries, key=len):
        table: Any = root
        for part in path[:-1]:
            table = table.setdefault(part, {})
        value = entries[path].value
        table[path[-1]] = {} if is_table(path) else value
    return root


def _with_tuples(value: Any) -> Any:
    """The same data with tuples, which is what strict validation takes for arrays."""
    if isinstance(value, list):
        return tuple(_with_tuples(item) for item in value)
    if isinstance(value, dict):
        return {name: _with_tuples(item) for name, item in value.items()}
    return value
