"""``eventbus tables``: what the gateway keeps in Kafka, saved elsewhere and stored again."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson

from eventbus_gateway.api.audit import require_writable
from eventbus_gateway.cli_config import CONFIG, load_or_exit
from eventbus_gateway.cli_operations import (
    NO_ANSWER,
    NOT_DONE,
    TIMEOUT,
    NotUsable,
    Tables,
    TableSource,
    carried_out,
    exit_status,
    fail,
    write_down,
)
from eventbus_gateway.config import Config
from eventbus_gateway.errors import GatewayError, OutcomeUnknown
from eventbus_gateway.identity.key_topic import key_table, key_topic
from eventbus_gateway.kafka.saved_entries import SavedEntry, from_lines, to_lines
from eventbus_gateway.kafka.table import ABSENT
from eventbus_gateway.subscriptions.needed_topics import internal_topics
from eventbus_gateway.subscriptions.store import subscription_table

T = TypeVar("T")

_SUBSCRIPTIONS, _KEYS = "subscriptions", "keys"


@click.group()
def tables() -> None:
    """Save what the gateway keeps in Kafka, and store it again: subscriptions and API keys."""


@tables.command()
@CONFIG
@TIMEOUT
def save(path: Path | None, seconds: float) -> None:
    """Write all entries to standard output, one JSON object per line.

    Secrets of webhooks are encrypted in them as they are in Kafka, and of API keys there are hashes only. Positions
    of subscriptions are not among them: Kafka has those in consumer groups.
    """

    async def run(found: Tables) -> list[SavedEntry]:
        return [
            SavedEntry(name, entry.key, entry.value)
            for name, table in found.items()
            for entry in sorted(table.items(), key=lambda entry: entry.key)
        ]

    try:
        entries = _carried_out(load_or_exit(path, os.environ), seconds, run)
    except GatewayError as error:
        fail(error.detail, exit_status(error))
    for line in to_lines(entries):
        click.echo(line)
    click.echo(f"{len(entries)} entries were saved.", err=True)


@tables.command()
@CONFIG
@TIMEOUT
@click.option("--as-saved", is_flag=True, help="Leave subscriptions that were not paused so: they go on at once.")
@click.argument("file", type=click.File("r", encoding="utf-8"))
def restore(path: Path | None, seconds: float, as_saved: bool, file: Any) -> None:
    """Store the entries of FILE, which ``eventbus tables save`` has written, in tables that are empty.

    Subscriptions are paused, so that nobody is sent anything before it is known where they go on, and forget their
    last redrive, whose dead letters another Kafka has at other places. What is there and is the same is left alone,
    so the command can be repeated; anything else keeps it from being done.
    """
    config = load_or_exit(path, os.environ)
    try:
        entries = [entry if as_saved else _paused(entry) for entry in from_lines(file)]
        require_writable(config.audit)
    except ValueError as error:
        fail(str(error), NOT_DONE)

    stored: list[SavedEntry] = []

    async def run(found: Tables) -> None:
        await _store(found, entries, stored)

    try:
        _carried_out(config, seconds, run)
    except OutcomeUnknown:
        _write_down(config, "unknown")
        fail("Whether everything was stored is not known: say it again", NO_ANSWER)
    except GatewayError as error:
        if stored:
            _write_down(config, "partial")
        said = f"{error.detail.removesuffix('.')}; {len(stored)} entries were stored before: say it again"
        fail(said if stored else error.detail, exit_status(error))
    _write_down(config, "done")
    count = len(stored)
    click.echo(f"{count} entries were stored, {len(entries) - count} were there.", err=True)


async def _store(found: Tables, entries: list[SavedEntry], stored: list[SavedEntry]) -> None:
    """Store what is not there, and note each that was stored.

    Raises:
        NotUsable: there is something else, or no such table.
    """
    wanted = {(entry.table, entry.key): entry.value for entry in entries}
    if unknown := {entry.table for entry in entries} - found.keys():
        raise NotUsable(f"The configuration has no table of {' and '.join(sorted(unknown))}")
    for name, table in found.items():
        others = sum(1 for entry in table.items() if wanted.get((name, entry.key)) != entry.value)
        if others:
            raise NotUsable(f"The table of {name} has {others} other entries; only what is empty is restored")
    missing = [entry for entry in entries if found[entry.table].get(entry.key) is None]
    for entry in missing:
        await found[entry.table].put(entry.key, entry.value, if_version=ABSENT)
        stored.append(entry)


def _paused(entry: SavedEntry) -> SavedEntry:
    """The same entry; a subscription in it is paused, and nothing of it is redriven.

    Raises:
        ValueError: it is no subscription of a form that is known.
    """
    if entry.table != _SUBSCRIPTIONS:
        return entry
    try:
        document = orjson.loads(entry.value)
        document["subscription"]["control"] |= {"paused": True, "redrive": None}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise ValueError("a subscription is of a form that this version does not know") from None
    return entry._replace(value=orjson.dumps(document))


def _carried_out(config: Config, seconds: float, work: Callable[[Tables], Awaitable[T]]) -> T:
    """Do something with all tables that the configuration has.

    Raises:
        GatewayError: it could not be done, or only in part.
    """
    sources = {}
    if config.subscriptions.enabled:
        sources[_SUBSCRIPTIONS] = TableSource(
            f"The table of {_SUBSCRIPTIONS}",
            internal_topics(config.subscriptions)[0],
            lambda sink: subscription_table(config.subscriptions, config.kafka, sink),
        )
    if config.auth.uses_key_table:
        sources[_KEYS] = TableSource(
            f"The table of {_KEYS}",
            key_topic(config.subscriptions),
            lambda sink: key_table(config.auth, config.subscriptions, config.kafka, sink),
        )
    if not sources:
        fail("subscriptions.enabled and auth.key_table are false, so there are no tables", NOT_DONE)
    return carried_out(config.kafka, seconds, sources, work)


def _write_down(config: Config, outcome: str) -> None:
    write_down(config.audit, "tables.restore", "tables", outcome)
