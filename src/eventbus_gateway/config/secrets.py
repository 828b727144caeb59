"""Secrets that are not written down in the configuration: files and variables that hold them.

A secret ``x`` is named by a key ``x_file`` beside it, or by a reference in its value: ``file:/path`` or
``env:NAME``.
"""

import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from eventbus_gateway.config.entries import Entry, Source
from eventbus_gateway.config.faults import ConfigFault
from eventbus_gateway.config.files import Unreadable, read_text
from eventbus_gateway.config.keys import KEYS, Key, Path, dotted

MAX_SECRET_BYTES = 65_536

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


class Revealed(NamedTuple):
    """Entries whose secrets were read.

    Args:
        entries: the same as before, where references and ``*_file`` keys have given way to what they name.
        faults: what cannot be read.
        unread: the keys whose secrets these are; a rule over them would blame the wrong key.
    """

    entries: dict[Path, Entry]
    faults: list[ConfigFault]
    unread: frozenset[Path]


class _Fault(Exception):
    """A secret that is not there; the text says why, and names where it was looked for."""


def read_secrets(entries: Mapping[Path, Entry], environ: Mapping[str, str], keys: Iterable[Key] = KEYS) -> Revealed:
    """Read every secret from where the configuration says that it is.

    A secret and its file that come from equal sources contradict each other; else the higher source counts.

    Args:
        entries: the values as they were found.
        environ: the variables that references name.
        keys: which values are secrets, or have secrets in them.
    """
    reading = _Reading(dict(entries), environ)
    for key in keys:
        if key.secret:
            reading.secret(key)
        elif key.item_secrets and key.path in reading.entries:
            reading.items(key, reading.entries[key.path])
    return Revealed(reading.entries, reading.faults, frozenset(reading.unread))


class _Reading:
    def __init__(self, entries: dict[Path, Entry], environ: Mapping[str, str]) -> None:
        self.entries = entries
        self.faults: list[ConfigFault] = []
        self.unread: set[Path] = set()
        self._environ = environ

    def secret(self, key: Key) -> None:
        """Read one secret from the file that its ``*_file`` key names, or from where its value points."""
        named, direct = self.entries.pop(key.file_path, None), self.entries.get(key.path)
        if named is not None and named.value is not None:
            if direct is None or direct.source.rank < named.source.rank:
                self._take(key.path, key.file_path, named, partial(_in_file, named.value))
                return
            if direct.source.rank == named.source.rank:
                sentence = f"is set beside {dotted(key.path)}; set one of them"
                self._fault(key.path, key.file_path, sentence, named.source)
        if direct is not None and _is_reference(direct.value):
            self._take(key.path, key.path, direct, partial(self._named, direct.value))

    def items(self, key: Key, entry: Entry) -> None:
        """The same for the secrets in an array of tables; one that is not there hides no other fault."""
        if isinstance(entry.value, tuple):
            items = tuple(self._item(key, entry.source, at, item) for at, item in enumerate(entry.value))
            self.entries[key.path] = Entry(items, entry.source)

    def _take(self, path: Path, place: Path, entry: Entry, read: Callable[[], str]) -> None:
        try:
            self.entries[path] = Entry(read(), Source(f"{entry.source.name}: {entry.value}", entry.source.rank))
        except _Fault as fault:
            self.entries.pop(path, None)
            self._fault(path, place, str(fault), entry.source)

    def _item(self, key: Key, source: Source, at: int, item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        left = dict(item)
        for name in key.item_secrets:
            for place, reason in self._revealed(left, name):
                self._fault(key.path, (*key.path, at, place), reason, source)
        return left

    def _revealed(self, item: dict[str, Any], name: str) -> Iterator[tuple[str, str]]:
        """Put a secret into its table; where and why that failed."""
        of_file = f"{name}_file"
        named, direct = item.pop(of_file, None), item.get(name)
        try:
            if named is None:
                item[name] = self._named(str(direct)) if _is_reference(direct) else direct
            elif direct is not None:
                yield of_file, f"is set beside {name}; set one of them"
            else:
                item[name] = str(named)  # stands in for the secret until all faults are listed
                item[name] = _in_file(named)
        except _Fault as fault:
            yield name if named is None else of_file, str(fault)
        if item[name] is None:
            del item[name]

    def _named(self, reference: str) -> str:
        kind, _, name = reference.partition(":")
        return _in_file(name) if kind == "file" else _in_variable(name, self._environ)

    def _fault(self, lost: Path, place: Path, sentence: str, source: Source) -> None:
        self.faults.append(ConfigFault(dotted(place), sentence, source.name))
        self.unread.add(lost)


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("env:", "file:"))


def _in_file(name: Any) -> str:
    if not isinstance(name, str):
        raise _Fault("must be a string")
    shown = f"the file {name}" if name.isprintable() else "the file"
    try:
        return _secret(read_text(pathlib.Path(name), MAX_SECRET_BYTES), shown)
    except Unreadable as error:
        raise _Fault(f"{shown} {error}") from None


def _in_variable(name: str, environ: Mapping[str, str]) -> str:
    if not _VARIABLE.fullmatch(name):
        raise _Fault("must have the name of a variable after env:")
    value = environ.get(name)
    if value is None:
        raise _Fault(f"the variable {name} is not set")
    if len(value.encode(errors="surrogateescape")) > MAX_SECRET_BYTES:
        raise _Fault(f"the variable {name} has more than {MAX_SECRET_BYTES} bytes")
    return _secret(value, f"the variable {name}")


def _secret(text: str, place: str) -> str:
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise _Fault(f"{place} is empty")
    return secret
