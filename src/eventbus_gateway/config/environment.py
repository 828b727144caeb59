"""Values from environment variables: ``EVENTBUS_<TABLE>__<KEY>`` for every key of the configuration."""

import json
import re
from collections.abc import Mapping
from typing import Any

from eventbus_gateway.config.entries import Found, Source, flatten, is_table
from eventbus_gateway.config.faults import ConfigFault
from eventbus_gateway.config.keys import BY_PATH, PREFIX, SECRETS_BY_FILE, VARIABLES, dotted, general, nearest

FILE_VARIABLE = "EVENTBUS_CONFIG"
# Options of commands that can come from the environment, where they are no keys of the configuration.
_OF_COMMANDS = frozenset({FILE_VARIABLE, "EVENTBUS_WEBHOOK_SECRET"})

# Kubernetes describes the Services of a namespace to its pods: EVENTBUS_GATEWAY_SERVICE_HOST, EVENTBUS_GATEWAY_PORT
# and others. They are no settings, and a Service named like the gateway must not keep it from starting.
_SERVICE = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


def read_environment(environ: Mapping[str, str]) -> Found:
    """The values of all variables that start with ``EVENTBUS_``; a variable of a key wins over one of its table."""
    found = Found({}, [])
    names = [name for name in environ if name.startswith(PREFIX) and name not in _OF_COMMANDS]
    for name in sorted(names, key=lambda name: (name.count("__"), name)):
        _read(name, environ[name], found)
    return found


def _describes_a_service(name: str, value: str) -> bool:
    return bool(_SERVICE.search(name) or (name.endswith("_PORT") and _SERVICE_ADDRESS.match(value)))


def _read(name: str, value: str, found: Found) -> None:
    path = _path(name)
    if not path or not (is_table(path) or general(path) in BY_PATH or path in SECRETS_BY_FILE):
        if not _describes_a_service(name, value):
            found.faults.append(ConfigFault(name, f"names no key{nearest(name, VARIABLES)}"))
        return
    source = Source(name, 1 + name.count("__"))
    same = found.entries.get(path)
    if same is not None and same.source.rank == source.rank:
        found.faults.append(ConfigFault(dotted(path), f"is also set by {same.source.name}", name))
        return
    found.entries.update(flatten(path, _value(path, value), source))


def _path(name: str) -> tuple[str, ...]:
    table, *below = name.removeprefix(PREFIX).split("__")
    topic = below[:1] if table == "TOPICS" else []
    names = (table, *below[len(topic) :])
    if not all(name and name == name.upper() for name in names) or len(below) > 1 + len(topic):
        return ()
    lowered = [name.lower() if name == name.upper() else name for name in (table, *below)]
    return tuple(lowered)


def _value(path: tuple[str, ...], value: str) -> Any:
    key = BY_PATH.get(general(path))
    if key is not None and key.optional and value == "":
        return None
    if path in SECRETS_BY_FILE or (key is not None and key.text):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value  # of the wrong kind; validation says which kind is expected
