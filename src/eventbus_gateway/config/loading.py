"""From sources to a configuration, or to the list of everything that is wrong."""

import pathlib
from collections.abc import Iterator, Mapping

from eventbus_gateway.config.entries import Entry, Found
from eventbus_gateway.config.environment import read_environment
from eventbus_gateway.config.faults import ConfigFault, InvalidConfig
from eventbus_gateway.config.files import read_file
from eventbus_gateway.config.keys import Path, dotted
from eventbus_gateway.config.model import Config
from eventbus_gateway.config.rules import broken_rules
from eventbus_gateway.config.secrets import read_secrets
from eventbus_gateway.config.validation import validate


def load(path: pathlib.Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration of a file, with what the environment overrides.

    Args:
        path: TOML file; None for a configuration from the environment alone.
        environ: variables that start with ``EVENTBUS_`` set keys; others are read where a secret names them.

    Raises:
        InvalidConfig: with every fault of the file, of the environment and of what they say together.
    """
    file = read_file(path) if path is not None else Found({}, [])
    environment = read_environment(environ)
    secrets = read_secrets({**file.entries, **environment.entries}, environ)
    validated = validate(secrets.entries)
    faults = [*file.faults, *environment.faults, *secrets.faults, *validated.faults]
    if not file.faults:  # else every key of an unreadable file would be called missing
        faults += _rule_faults(validated.config, _damaged(validated.damaged | secrets.unread), secrets.entries)
    if faults:
        raise InvalidConfig(tuple(faults))
    return validated.config.remember({path: entry.source.name for path, entry in secrets.entries.items()})


def _damaged(lost: frozenset[Path]) -> set[str]:
    """The names under which rules look at values that are not there; rules see all topics as one key."""
    return {"topics" if path[0] == "topics" else dotted(path) for path in lost}


def _rule_faults(config: Config, damaged: set[str], entries: Mapping[Path, Entry]) -> Iterator[ConfigFault]:
    sources = {dotted(path): entry.source.name for path, entry in entries.items()}
    for rule in broken_rules(config):
        if not any(key in damaged or key.partition(".")[0] in damaged for key in rule.involves):
            yield ConfigFault(rule.key, rule.sentence, sources.get(rule.involves[0], ""))
