"""The TOML file, and how a file is read within a bound."""

import os
import pathlib
import re
import ssl
import tomllib

from eventbus_gateway.config.entries import Found, Source, flatten
from eventbus_gateway.config.faults import ConfigFault

MAX_FILE_BYTES = 16_777_216


class Unreadable(Exception):
    """A file that cannot be used; the text says why."""


def read_file(path: pathlib.Path) -> Found:
    """The values of a TOML file."""
    try:
        table = tomllib.loads(read_text(path, MAX_FILE_BYTES))
    except tomllib.TOMLDecodeError as error:
        # The message quotes a single character at the most, yet it may be one of a secret.
        sentence = re.sub(r"(invalid|Illegal) character .*?(?= \(at )", r"\1 character", str(error), flags=re.DOTALL)
        return Found({}, [ConfigFault(str(path), f"is not valid TOML: {sentence}")])
    except RecursionError:
        return Found({}, [ConfigFault(str(path), "is nested too deeply")])
    except Unreadable as error:
        return Found({}, [ConfigFault(str(path), str(error))])
    return Found(dict(flatten((), table, Source(str(path), 0))), [])


def is_readable(name: str) -> bool:
    """Whether there is a file of this name that the process may read."""
    return pathlib.Path(name).is_file() and os.access(name, os.R_OK)


def is_writable(name: str) -> bool:
    """Whether the process may write to the end of this file, or make it."""
    path = pathlib.Path(name)
    if path.exists():
        return not path.is_dir() and os.access(path, os.W_OK)
    return os.access(path.parent, os.W_OK | os.X_OK)


def fault_of_file(name: str, *, holds_certificates: bool) -> str | None:
    """Why a file of the configuration cannot be used, None where it can.

    Args:
        name: its name.
        holds_certificates: whether authorities are to be found in it.
    """
    if not is_readable(name):
        return "is not a file that can be read"
    if holds_certificates:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(name)
        except ssl.SSLError:
            return "has no certificate in it"
    return None


def read_text(path: pathlib.Path, limit: int) -> str:
    """The content of a file.

    Args:
        path: the file.
        limit: most bytes.

    Raises:
        Unreadable: there is none, it is longer, or it is not text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
        text = content.decode()
    except UnicodeDecodeError:
        raise Unreadable("is not UTF-8 text") from None
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise Unreadable("cannot be read: its name has a NUL character") from None
    if len(content) > limit:
        raise Unreadable(f"has more than {limit} bytes")
    return text
