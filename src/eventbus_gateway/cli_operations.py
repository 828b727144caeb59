"""An operation on the gateway's tables in Kafka, carried out by a command: tables opened, audit told, exit status."""

import asyncio
import contextlib
import getpass
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import NamedTuple, NoReturn, TypeVar

import click

from eventbus_gateway import logs
from eventbus_gateway.api.audit import Audited, append
from eventbus_gateway.api.settings import AuditSettings
from eventbus_gateway.errors import GatewayError, KafkaUnavailable, Unavailable
from eventbus_gateway.kafka.administration import Administration
from eventbus_gateway.kafka.internal_topics import InternalTopics, WantedTopic
from eventbus_gateway.kafka.producer import KafkaProducer
from eventbus_gateway.kafka.records import RecordSink
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.kafka.table import Table

T = TypeVar("T")
Tables = Mapping[str, Table]

NOT_DONE = 1
"""Exit status: it cannot be done as asked, or an administrator has to do something first."""
NO_ANSWER = 3
"""Exit status: Kafka does not answer, or whether it was done is not known."""
TIMEOUT = click.option(
    "--timeout", "seconds", type=click.FloatRange(1, 300), default=20.0, show_default=True, help="Seconds for Kafka."
)

_DRAIN_SECONDS = 5.0


class NotUsable(Exception):
    """An administrator has to do something before it can be done."""


class TableSource(NamedTuple):
    """Where a table is.

    Args:
        called: what people call it, as the beginning of a sentence.
        topic: what its topic must be like.
        make: the table, which writes through what it is given.
    """

    called: str
    topic: WantedTopic
    make: Callable[[RecordSink], Table]


def carried_out(
    kafka: KafkaSettings, seconds: float, sources: Mapping[str, TableSource], work: Callable[[Tables], Awaitable[T]]
) -> T:
    """Do something with tables; what is not usable ends the process.

    Args:
        kafka: how to reach Kafka.
        seconds: for its topics to be looked at, and for each table to be read.
        sources: the tables by name.
        work: given each table under its name, read to its end.

    Raises:
        GatewayError: it could not be done, or only in part.
    """
    logs.configure("ERROR")

    async def run() -> T:
        async with _opened(kafka, seconds, sources) as tables:
            return await work(tables)

    try:
        return asyncio.run(run())
    except NotUsable as error:
        fail(str(error), NOT_DONE)


@contextlib.asynccontextmanager
async def _opened(kafka: KafkaSettings, seconds: float, sources: Mapping[str, TableSource]) -> AsyncIterator[Tables]:
    administration, producer = Administration(kafka), KafkaProducer(kafka)
    tables = {name: source.make(producer) for name, source in sources.items()}
    async with contextlib.AsyncExitStack() as closing:
        await administration.start()
        closing.push_async_callback(administration.close)
        topics = [source.topic for source in sources.values()]
        if findings := await InternalTopics(administration, seconds).examine(topics):
            remedy = " Create it with eventbus init." if findings[0].missing else ""
            raise NotUsable(findings[0].sentence + remedy)
        await producer.start()
        closing.push_async_callback(producer.drain, _DRAIN_SECONDS)
        for name, table in tables.items():
            closing.push_async_callback(table.close)
            if not await table.start(seconds):
                raise KafkaUnavailable(table.trouble or f"{sources[name].called} could not be read in time")
        yield tables


def write_down(settings: AuditSettings, operation: str, resource: str, outcome: str) -> None:
    """Tell the audit what came of an operation; where it cannot be told, people are, and the operation stands.

    Args:
        settings: where the audit is.
        operation: what was asked for.
        resource: what it was done to.
        outcome: what came of it.
    """
    try:
        append(settings, Audited(operation, resource, outcome, _operator()))
    except ValueError as error:
        # It is done, and what there is to show of it is still to be shown.
        click.echo(f"The audit has no line of this: {error}.", err=True)


def _operator() -> str:
    """Who runs the command; no principal can have a name with a colon in it."""
    try:
        return f"os:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"os:{os.getuid()}"


def exit_status(error: GatewayError) -> int:
    """How a command ends that failed so."""
    return NO_ANSWER if isinstance(error, Unavailable) else NOT_DONE


def fail(sentence: str, status: int) -> NoReturn:
    """End the process with a sentence for people.

    Args:
        sentence: with a full stop or without.
        status: how it ends.
    """
    click.echo(f"Error: {sentence.removesuffix('.')}.", err=True)
    sys.exit(status)
