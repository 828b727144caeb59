"""Events for people at a terminal."""

import json
from typing import Any

from eventbus_gateway.webhooks.cloudevents import Event

_LEADING = ("time", "type", "source", "id")
_NOT_NAMED = frozenset({*_LEADING, "specversion", "datacontenttype", "data", "data_base64"})


def line(event: Event) -> str:
    """One line: time, type, source, id, the other attributes by name, and the data at its end."""
    words = [_word(event[name]) for name in _LEADING if name in event]
    words += [f"{name}={_word(value)}" for name, value in event.items() if name not in _NOT_NAMED]
    words += [f"{name}={_json(event[name])}" for name in ("data", "data_base64") if name in event]
    return _visible(" ".join(words))


def pretty(event: Event) -> str:
    """Indented JSON."""
    return "\n".join(map(_visible, json.dumps(event, ensure_ascii=False, indent=2).split("\n")))


def _word(value: Any) -> str:
    plain = isinstance(value, str) and value and '"' not in value and not any(map(str.isspace, value))
    return value if plain else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _visible(text: str) -> str:
    """Without characters that would steer the terminal or turn the text around; JSON's escapes stand for them."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)
