"""The ``eventbus`` command."""

import asyncio
import json
import logging
import os
import secrets
import shlex
import signal
import socket
import sys
from base64 import b64encode
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click
import uvloop

from eventbus_gateway import __version__, logs
from eventbus_gateway.api.server import address_of, listen
from eventbus_gateway.app import Addresses, App
from eventbus_gateway.cli_config import CONFIG, load_or_exit
from eventbus_gateway.cli_keys import keys
from eventbus_gateway.cli_operations import NO_ANSWER, NOT_DONE, TIMEOUT, fail
from eventbus_gateway.cli_tables import tables
from eventbus_gateway.config import Config, describe
from eventbus_gateway.errors import GatewayError
from eventbus_gateway.identity.key_topic import needed_topics
from eventbus_gateway.kafka.administration import Administration
from eventbus_gateway.kafka.embedded import EmbeddedKafka
from eventbus_gateway.kafka.internal_topics import Finding, InternalTopics, WantedTopic, create_commands
from eventbus_gateway.schemas.folder import FolderRegistry
from eventbus_gateway.webhooks import lines
from eventbus_gateway.webhooks.signing import InvalidSecret, Secret, Verifier
from eventbus_gateway.workers import Leash, Workers, environ, reserved

_DEV_PARTITIONS = 4

_logger = logging.getLogger(__name__)


@click.group()
@click.version_option(__version__, prog_name="eventbus")
def main() -> None:
    """Event Bus Gateway: HTTP in, Kafka in the middle, HTTP out."""


main.add_command(keys)
main.add_command(tables)


@main.command()
@CONFIG
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that share the public port; each has an internal port of its own, counted up from the first.",
)
@click.option("--leash", type=int, hidden=True)
def serve(path: Path | None, workers: int, leash: int | None) -> None:
    """Run the gateway until SIGTERM."""
    config = load_or_exit(path, os.environ)
    logs.configure()
    if workers > 1:
        sys.exit(_supervise(config, path, workers))
    _run(_app(config).run() if leash is None else _work(_app(config), Leash(leash)))


@main.command("check-config")
@CONFIG
def check_config(path: Path | None) -> None:
    """Print the configuration that would be used, or everything that is wrong with it."""
    click.echo(describe(load_or_exit(path, os.environ)), nl=False)


@main.command()
@CONFIG
@click.option("--print", "only_print", is_flag=True, help="Print commands for an administrator; Kafka is not asked.")
@TIMEOUT
def init(path: Path | None, only_print: bool, seconds: float) -> None:
    """Create the topics that the gateway itself needs, or say what keeps them from being used.

    Ends with 0 when all can be used, with 1 when an administrator has to do something, with 2 for a broken
    configuration and with 3 when Kafka does not answer. What is there already stays as it is.
    """
    config = load_or_exit(path, os.environ)
    logs.configure("ERROR")
    wanted = needed_topics(config.auth, config.subscriptions)
    if not wanted:
        click.echo("No topics are needed: subscriptions.enabled and auth.key_table are false.")
        return
    if only_print:
        click.echo("\n".join(create_commands(wanted, config.kafka.bootstrap_servers)))
        return
    try:
        created, findings = asyncio.run(_created(config, wanted, seconds))
    except GatewayError as error:
        fail(error.detail, NO_ANSWER)
    for name in created:
        click.echo(f"The topic {name} was created.")
    if not findings:
        click.echo(f"All {len(wanted)} topics can be used." if len(wanted) > 1 else "The topic can be used.")
        return
    for finding in findings:
        click.echo(finding.sentence, err=True)
    missing = [topic for topic in wanted if topic.name in {finding.topic for finding in findings if finding.missing}]
    if missing:
        click.echo("An administrator creates what is missing with:", err=True)
        click.echo("\n".join(create_commands(missing, config.kafka.bootstrap_servers)))
    sys.exit(NOT_DONE)


@main.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, envvar="PORT", show_default=True)
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path("examples"),
    show_default=True,
    help="Folder with <topic>.avsc files, sample events <topic>.json and, where wanted, an eventbus.toml.",
)
def dev(port: int, folder: Path) -> None:
    """Run a gateway with an embedded Kafka and schemas from a folder; nothing is kept."""
    logs.configure("WARNING")
    topics = _folder_topics(folder)
    with EmbeddedKafka(dict.fromkeys(topics, _DEV_PARTITIONS)) as kafka:
        overrides = {
            "EVENTBUS_HTTP__PORT": str(port),
            "EVENTBUS_HTTP__INTERNAL_PORT": "0",
            "EVENTBUS_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap,
            "EVENTBUS_KAFKA__SECURITY_PROTOCOL": "PLAINTEXT",
            "EVENTBUS_REGISTRY__KIND": "folder",
            "EVENTBUS_REGISTRY__FOLDER": str(folder),
            "EVENTBUS_REGISTRY__URL": "",
            "EVENTBUS_AUTH__MODE": "anonymous",
            "EVENTBUS_SUBSCRIPTIONS__ENABLED": "true",
            "EVENTBUS_SUBSCRIPTIONS__PEER_SECRET": secrets.token_hex(32),
            "EVENTBUS_WEBHOOKS__SECRET_KEYS": b64encode(secrets.token_bytes(32)).decode(),
            "EVENTBUS_WEBHOOKS__ALLOW_HTTP": "true",
            "EVENTBUS_WEBHOOKS__ALLOWED_PORTS": '["1-65535"]',
            "EVENTBUS_WEBHOOKS__ALLOWED_NETWORKS": '["127.0.0.0/8", "::1/128"]',
        }
        file = folder / "eventbus.toml"
        config = load_or_exit(file if file.exists() else None, {**os.environ, **overrides})
        app = _app(config, embedded=kafka)
        _run(app.run(lambda addresses: click.echo(_welcome(addresses, kafka.bootstrap, folder, topics))))


def _secrets(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> list[Secret]:
    try:
        return [Secret.parse(text) for text in texts]
    except InvalidSecret as invalid:
        raise click.BadParameter(f"Each one {invalid}.") from None


@main.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=9000, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--secret",
    "signing",
    multiple=True,
    callback=_secrets,
    envvar="EVENTBUS_WEBHOOK_SECRET",
    show_envvar=True,
    help="Of the subscription, whsec_…; several while it is rotated.",
)
@click.option("--insecure", is_flag=True, help="Take what nobody signed.")
@click.option(
    "--status", type=click.IntRange(200, 599), default=204, show_default=True, help="Answer to what was received."
)
@click.option("--pretty", is_flag=True, help="Print indented JSON.")
def receive(port: int, host: str, signing: list[Secret], insecure: bool, status: int, pretty: bool) -> None:
    """Receive webhooks, verify their signatures and print the events, for development.

    Events go to standard output, everything else to standard error. Any path is received.
    """
    if bool(signing) == insecure:
        raise click.UsageError("Give a --secret, or --insecure to take what nobody signed; not both.")
    logs.configure("ERROR")
    for ending in (signal.SIGINT, signal.SIGTERM):
        # Raised wherever the process is, also in a write to a pipe that nobody reads.
        signal.signal(ending, _end)
    verifier = None if insecure else Verifier(signing)
    render = lines.pretty if pretty else lines.line
    # 9 MiB of memory with all that it imports, which no gateway needs.
    from eventbus_gateway.webhooks.receiver import Receiver  # noqa: PLC0415

    receiver = Receiver(verifier, status, lambda event: click.echo(render(event).encode()), _tell)
    listener = _listener(host, port)
    address, number = address_of(listener)
    _tell(f"receiving at http://{f'[{address}]' if ':' in address else address}:{number}")
    if insecure:
        _tell("signatures are not checked")
    try:
        asyncio.run(receiver.run(listener))
    except BrokenPipeError:
        raise  # whoever read is gone: no reason to complain
    except OSError as error:
        raise click.ClickException(f"Cannot print: {error.strerror}.") from error


async def _work(app: App, leash: Leash) -> None:
    leash.watch(app.stop)
    await app.run(lambda addresses: leash.tell("{}:{}".format(*addresses.internal)))


def _supervise(config: Config, path: Path | None, workers: int) -> int:
    """Run several processes; the exit status."""
    file = () if path is None else ("--config", str(path))
    command = (sys.executable, "-m", "eventbus_gateway.cli", "serve", *file, "--leash")
    http, address = config.http, config.subscriptions.advertised_address
    if address is not None and http.internal_port == 0:
        raise click.ClickException(
            "subscriptions.advertised_address names one port, and each worker has another: set http.internal_port."
        )
    try:
        # Held without listening, so that all workers get the same one, and that a taken one is found out here.
        with reserved(http.host, http.port) as port:
            environs = [environ(worker, port, http.internal_port, address) for worker in range(workers)]
            supervisor = Workers(command, environs)
            ready = partial(_logger.info, "serving %s:%d with %d workers", http.host, port, workers)
            return asyncio.run(supervisor.run(ready))
    except OSError as error:
        raise click.ClickException(f"Cannot listen: {error.strerror}.") from error


async def _created(config: Config, wanted: Sequence[WantedTopic], seconds: float) -> tuple[list[str], list[Finding]]:
    """Create what is missing: the topics that were, and what is still wrong."""
    administration = Administration(config.kafka)
    await administration.start()
    try:
        topics = InternalTopics(administration, seconds)
        before = await topics.examine(wanted)
        after = await topics.ensure(wanted)
    finally:
        await administration.close()
    wrong = {finding.topic for finding in after}
    return [finding.topic for finding in before if finding.missing and finding.topic not in wrong], after


def _app(config: Config, *, embedded: EmbeddedKafka | None = None) -> App:
    try:
        return App(config, embedded=embedded)
    except (GatewayError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(logs.unhandled)
        try:
            runner.run(main)
        except OSError as error:
            raise click.ClickException(f"Cannot listen: {error.strerror}.") from error


def _listener(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        raise click.ClickException(f"Cannot listen: {error.strerror}.") from error


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _end(*_: object) -> NoReturn:
    sys.exit(0)


def _folder_topics(folder: Path) -> list[str]:
    try:
        topics = FolderRegistry(folder).topics()
    except GatewayError as error:
        raise click.ClickException(error.detail) from error
    if not topics:
        raise click.ClickException(f"{folder} has no <topic>.avsc file.")
    return list(topics)


def _welcome(addresses: Addresses, bootstrap: str, folder: Path, topics: list[str]) -> str:
    base = "http://{}:{}".format(*addresses.public)
    samples = [topic for topic in topics if (folder / f"{topic}.json").exists()]
    topic = samples[0] if samples else topics[0]
    data = shlex.quote(f"@{folder / f'{topic}.json'}" if samples else "{}")
    json_body = "-H 'content-type: application/json'"
    subscription = shlex.quote(json.dumps({"topics": [topic], "start": "earliest"}))
    ask = shlex.quote(json.dumps({"waitSeconds": 10}))
    return "\n".join(
        [
            "Event Bus Gateway, for development: nothing is kept.",
            "",
            f"  topics           {', '.join(topics)}",
            f"  Kafka bootstrap  {bootstrap}",
            f"  schema registry  {base}",
            "  probes, metrics  http://{}:{}".format(*addresses.internal),
            "",
            "Publish the sample event:",
            "",
            f"  curl -i {base}/v1/topics/{topic}/events {json_body} --data-binary {data}",
            "",
            "Subscribe, and receive it:",
            "",
            f"  curl -s -X PUT {base}/v1/subscriptions/first {json_body} -d {subscription}",
            f"  curl -s {base}/v1/subscriptions/first/receive {json_body} -d {ask}",
            "",
        ]
    )


if __name__ == "__main__":
    main()
