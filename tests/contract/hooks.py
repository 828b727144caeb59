"""What Schemathesis does not know of the contract: loaded by its own process."""

import json
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_context: Any, value: Any) -> Any:
    """Lines are text, whatever they are made of."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


@schemathesis.hook
def before_call(_context: Any, case: Any, _arguments: Any) -> None:
    """Wait for nothing that does not come, and write whole numbers as JSON's readers expect them.

    The phase that covers bounds takes a bare number for a text of any pattern; as an entity tag it has quotes.
    """
    for name, value in (case.headers or {}).items():
        if name in {"If-Match", "If-None-Match"} and str(value) == "0":
            case.headers[name] = '"0"'
    if isinstance(case.body, dict):
        case.body = _whole(case.body)
        if type(case.body.get("waitSeconds")) in {int, float} and 0 <= case.body["waitSeconds"] <= 60:
            case.body["waitSeconds"] = 0


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
