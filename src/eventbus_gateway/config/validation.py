"""Each value against the type and bounds of its key."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from eventbus_gateway.config.entries import Entry, is_table, key_depth, nest
from eventbus_gateway.config.faults import ConfigFault, InvalidConfig
from eventbus_gateway.config.keys import Path, dotted, hint
from eventbus_gateway.config.model import Config

_SENTENCES = {
    "string_type": "must be a string",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "tuple_type": "must be an array",
    "dict_type": "must be a table",
    "mapping_type": "must be a table",
    "model_type": "must be a table",
    "missing": "is missing",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}
_TOPIC_NAME = "is not a topic: 1 to 249 letters, digits, '.', '_' or '-', without a leading '_', and not '.' or '..'"


class Validated(NamedTuple):
    """What is left when everything that does not fit its type is taken away.

    Args:
        config: made of the sound values.
        faults: why the others were taken away.
        damaged: keys that lost their value; a rule over them would blame the wrong key.
    """

    config: Config
    faults: list[ConfigFault]
    damaged: frozenset[Path]


def validate(entries: Mapping[Path, Entry]) -> Validated:
    """Check every value; one fault hides no other."""
    reasons = {path: _unusable(path, entry.value) for path, entry in entries.items()}
    unusable = [path for path in entries if reasons[path]]
    faults = [ConfigFault(dotted(path), reasons[path], entries[path].source.name) for path in unusable]
    sound = {path: entry for path, entry in entries.items() if not reasons[path]}
    while True:
        try:
            config = Config.model_validate(nest(sound), strict=True)
        except ValidationError as error:
            details = _causes(error.errors(include_url=False, include_input=False))
            faults += [_fault(detail, sound) for detail in details]
            blamed = {_blamed(detail) for detail in details}
            left = {path: entry for path, entry in sound.items() if not any(path[: len(b)] == b for b in blamed)}
            if len(left) == len(sound):
                raise InvalidConfig(tuple(faults)) from None
            sound = left
        else:
            return Validated(config, faults, frozenset(entries.keys() - sound.keys()))


def _causes(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without arrays that are too short only because their items have faults of their own."""
    above = {detail["loc"][:end] for detail in details for end in range(len(detail["loc"]))}
    return [detail for detail in details if detail["type"] != "too_short" or detail["loc"] not in above]


def _fault(detail: ErrorDetails, entries: Mapping[Path, Entry]) -> ConfigFault:
    blamed = _blamed(detail)
    sources = (entry.source.name for path, entry in entries.items() if path[: len(blamed)] == blamed)
    return ConfigFault(dotted(_place(detail)), _sentence(detail), next(sources, ""))


def _sentence(detail: ErrorDetails) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return f"is not a known key{hint(detail['loc'])}"
    if _is_topic_name(detail):
        return _TOPIC_NAME
    # Messages of other kinds are not repeated: they might quote the value.
    return _SENTENCES.get(kind, f"is not valid ({kind})").format(**detail.get("ctx", {}))


def _place(detail: ErrorDetails) -> Path:
    return detail["loc"][:2] if _is_topic_name(detail) else detail["loc"]


def _blamed(detail: ErrorDetails) -> Path:
    """The key, table or topic without whose value the rest would be sound."""
    place = _place(detail)
    return place[: key_depth(place)]


def _is_topic_name(detail: ErrorDetails) -> bool:
    return (
        detail["type"] == "string_pattern_mismatch" and detail["loc"][0] == "topics" and detail["loc"][-1] == "[key]"
    )


def _unusable(path: Path, value: Any) -> str:
    """Why a value can be used nowhere, or nothing."""
    if is_table(path) and not isinstance(value, dict):
        return "must be a table"
    return _unfit(value)


def _unfit(value: Any) -> str:
    match value:
        case tuple() | dict():
            parts = (*value, *value.values()) if isinstance(value, dict) else value
            return next(filter(None, map(_unfit, parts)), "")
        case float() if not math.isfinite(value):
            return "must be a finite number"
        case str() if any(ord(character) < 32 or character == "\x7f" for character in value):
            return "must not have control characters"
        case str() if any(0xD800 <= ord(character) <= 0xDFFF for character in value):
            return "must be Unicode text"
        case _:
            return ""
