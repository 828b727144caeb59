"""``eventbus tables``: what the gateway keeps in Kafka, saved elsewhere and stored again."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import orjson

from eventbus_gateway import logs
from eventbus_gateway.api.audit import Audited, append, require_writable
from eventbus_gateway.cli_config import CONFIG, load_or_exit
from eventbus_gateway.cli_keys import TIMEOUT, operator
from eventbus_gateway.config import Config
from eventbus_gateway.errors import GatewayError, KafkaUnavailable, OutcomeUnknown, Unavailable
from eventbus_gateway.identity.key_topic import key_table, key_topic
from eventbus_gateway.kafka.administration import Administration
from eventbus_gateway.kafka.internal_topics import InternalTopics
from eventbus_gateway.kafka.producer import KafkaProducer
from eventbus_gateway.kafka.saved_entries import SavedEntry, from_lines, to_lines
from eventbus_gateway.kafka.table import ABSENT, Table
from eventbus_gateway.subscriptions.needed_topics import internal_topics
from eventbus_gateway.subscriptions.store import subscription_table

T = TypeVar("T")
Tables = Mapping[str, Table]

_NOT_DONE, _NO_ANSWER = 1, 3
_DRAIN_SECONDS = 5.0
_SUBSCRIPTIONS, _KEYS = "subscriptions", "keys"


class _NotUsable(Exception):
    """An administrator has to do something before it can be done."""


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
        _fail(error.detail, _status(error))
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
        _fail(str(error), _NOT_DONE)

    stored: list[SavedEntry] = []

    async def run(found: Tables) -> None:
        await _store(found, entries, stored)

    try:
        _carried_out(config, seconds, run)
    except OutcomeUnknown:
        _write_down(config, "unknown")
        _fail("Whether everything was stored is not known: say it again", _NO_ANSWER)
    except GatewayError as error:
        if stored:
            _write_down(config, "partial")
        said = f"{error.detail.removesuffix('.')}; {len(stored)} entries were stored before: say it again"
        _fail(said if stored else error.detail, _status(error))
    _write_down(config, "done")
    count = len(stored)
    click.echo(f"{count} entries were stored, {len(entries) - count} were there.", err=True)


async def _store(found: Tables, entries: list[SavedEntry], stored: list[SavedEntry]) -> None:
    """Store what is not there, and note each that was stored.

    Raises:
        _NotUsable: there is something else, or no such table.
    """
    wanted = {(entry.table, entry.key): entry.value for entry in entries}
    if unknown := {entry.table for entry in entries} - found.keys():
        raise _NotUsable(f"The configuration has no table of {' and '.join(sorted(unknown))}")
    for name, table in found.items():
        others = sum(1 for entry in table.items() if wanted.get((name, entry.key)) != entry.value)
        if others:
            raise _NotUsable(f"The table of {name} has {others} other entries; only what is empty is restored")
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


def _carried_out(config: Config, seconds: float, work: Callable[[Tables], Coroutine[Any, Any, T]]) -> T:
    """Do something with all tables; what keeps it from being done ends the process.

    Raises:
        GatewayError: it could not be done, or only in part.
    """
    logs.configure("ERROR")

    async def run() -> T:
        async with _tables(config, seconds) as found:
            return await work(found)

    try:
        return asyncio.run(run())
    except _NotUsable as error:
        _fail(str(error), _NOT_DONE)


def _status(error: GatewayError) -> int:
    return _NO_ANSWER if isinstance(error, Unavailable) else _NOT_DONE


@contextlib.asynccontextmanager
async def _tables(config: Config, seconds: float) -> AsyncIterator[Tables]:
    """The tables that the configuration has, read to their ends."""
    administration, producer = Administration(config.kafka), KafkaProducer(config.kafka)
    found: dict[str, Table] = {}
    topics = []
    if config.subscriptions.enabled:
        found[_SUBSCRIPTIONS] = subscription_table(config.subscriptions, config.kafka, producer)
        topics += [internal_topics(config.subscriptions)[0]]
    if config.auth.uses_key_table:
        found[_KEYS] = key_table(config.auth, config.subscriptions, config.kafka, producer)
        topics += [key_topic(config.subscriptions)]
    if not found:
        raise _NotUsable("subscriptions.enabled and auth.key_table are false, so there are no tables")
    async with contextlib.AsyncExitStack() as closing:
        await administration.start()
        closing.push_async_callback(administration.close)
        if findings := await InternalTopics(administration, seconds).examine(topics):
            remedy = " Create it with eventbus init." if findings[0].missing else ""
            raise _NotUsable(findings[0].sentence + remedy)
        await producer.start()
        closing.push_async_callback(producer.drain, _DRAIN_SECONDS)
        for name, table in found.items():
            closing.push_async_callback(table.close)
            if not await table.start(seconds):
                raise KafkaUnavailable(table.trouble or f"The table of {name} could not be read in time")
        yield found


def _write_down(config: Config, outcome: str) -> None:
    try:
        append(config.audit, Audited("tables.restore", "tables", outcome, operator()))
    except ValueError as error:
        click.echo(f"The audit has no line of this: {error}.", err=True)


def _fail(sentence: str, status: int) -> NoReturn:
    click.echo(f"Error: {sentence.removesuffix('.')}.", err=True)
    sys.exit(status)
