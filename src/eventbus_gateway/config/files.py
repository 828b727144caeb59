"""Values from the TOML file, and secrets from files of their own."""

import pathlib
import re
import tomllib
from collections.abc import Mapping

from eventbus_gateway.config.entries import Entry, Found, Source, flatten
from eventbus_gateway.config.faults import ConfigFault
from eventbus_gateway.config.keys import SECRETS_BY_FILE, Key, Path, dotted

MAX_FILE_BYTES = 16_777_216
MAX_SECRET_BYTES = 65_536


class _Unreadable(Exception):
    """A file that cannot be used; the text says why."""


def read_file(path: pathlib.Path) -> Found:
    """The values of a TOML file."""
    try:
        table = tomllib.loads(_read_text(path, MAX_FILE_BYTES))
    except tomllib.TOMLDecodeError as error:
        # The message quotes a single character at the most, yet it may be one of a secret.
        sentence = re.sub(r"(invalid|Illegal) character .*?(?= \(at )", r"\1 character", str(error), flags=re.DOTALL)
        return Found({}, [ConfigFault(str(path), f"is not valid TOML: {sentence}")])
    except RecursionError:
        return Found({}, [ConfigFault(str(path), "is nested too deeply")])
    except _Unreadable as error:
        return Found({}, [ConfigFault(str(path), str(error))])
    return Found(dict(flatten((), table, Source(str(path), 0))), [])


def read_secrets(entries: Mapping[Path, Entry]) -> Found:
    """The same entries, where ``*_file`` keys of secrets have given way to what their files hold.

    A secret and its file that come from equal sources contradict each other; else the higher source counts.
    """
    found = Found(dict(entries), [])
    for path, key in SECRETS_BY_FILE.items():
        named = found.entries.pop(path, None)
        if named is None or named.value is None:
            continue
        direct = found.entries.get(key.path)
        if direct is None or direct.source.rank < named.source.rank:
            _read_secret(named, key, found)
        elif direct.source.rank == named.source.rank:
            sentence = f"is set beside {dotted(key.path)}; set one of them"
            found.faults.append(ConfigFault(dotted(path), sentence, named.source.name))
    return found


def _read_secret(named: Entry, key: Key, found: Found) -> None:
    found.entries.pop(key.path, None)
    if not isinstance(named.value, str):
        found.faults.append(ConfigFault(dotted(key.file_path), "must be a string", named.source.name))
        return
    try:
        secret = _read_text(pathlib.Path(named.value), MAX_SECRET_BYTES).removesuffix("\n").removesuffix("\r")
    except _Unreadable as error:
        found.faults.append(ConfigFault(dotted(key.file_path), f"the file {error}", named.source.name))
        return
    if not secret:
        found.faults.append(ConfigFault(dotted(key.file_path), "the file is empty", named.source.name))
        return
    found.entries[key.path] = Entry(secret, Source(f"{named.source.name}: {named.value}", named.source.rank))


def _read_text(path: pathlib.Path, limit: int) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
        text = content.decode()
    except UnicodeDecodeError:
        raise _Unreadable("is not UTF-8 text") from None
    except OSError as error:
        raise _Unreadable(f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise _Unreadable("cannot be read: its name has a NUL character") from None
    if len(content) > limit:
        raise _Unreadable(f"has more than {limit} bytes")
    return text
