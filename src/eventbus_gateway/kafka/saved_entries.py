"""Tables as lines of text, to be kept outside of Kafka and stored again.

The last line says how many entries there are, so that a file that was cut off is not taken for a whole one.
"""

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_FORMAT = 1


class SavedEntry(NamedTuple):
    """One entry of a table.

    Args:
        table: what the table holds, such as ``subscriptions``.
        key: key in the table.
        value: content.
    """

    table: str
    key: str
    value: bytes

    def __repr__(self) -> str:
        return f"SavedEntry({self.table}, {self.key})"


def to_lines(entries: Iterable[SavedEntry]) -> Iterator[str]:
    """Entries as JSON, one per line, and the line that ends them.

    Raises:
        ValueError: the content of an entry is no text.
    """
    count = 0
    for entry in entries:
        count += 1
        value = entry.value.decode()
        yield json.dumps({"format": _FORMAT, "table": entry.table, "key": entry.key, "value": value})
    yield json.dumps({"format": _FORMAT, "entries": count})


def from_lines(lines: Iterable[str]) -> list[SavedEntry]:
    """The entries of such lines.

    Raises:
        ValueError: a line is not what it must be, or lines are missing; the text tells which, and nothing of them.
    """
    found: dict[tuple[str, str], SavedEntry] = {}
    end: int | None = None
    for number, line in enumerate(lines, 1):
        said = _parsed(line)
        if said.get("format") != _FORMAT or end is not None:
            raise ValueError(f"line {number} is none that this version has saved")
        table, key, value, count = (said.get(name) for name in ("table", "key", "value", "entries"))
        if isinstance(count, int):
            end = count
        elif isinstance(table, str) and isinstance(key, str) and key and isinstance(value, str):
            if (table, key) in found:
                raise ValueError(f"line {number} is an entry that was there before")
            found[table, key] = SavedEntry(table, key, value.encode())
        else:
            raise ValueError(f"line {number} is no entry")
    if end != len(found):
        raise ValueError("it is not whole: the line at its end is missing, or others are")
    return list(found.values())


def _parsed(line: str) -> dict[str, object]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
