"""The ``eventbus`` command."""

import asyncio
import os
import secrets
import shlex
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import click
import uvloop

from eventbus_gateway import __version__, logs
from eventbus_gateway.app import Addresses, App
from eventbus_gateway.config import Config, InvalidConfig, describe, load
from eventbus_gateway.errors import GatewayError
from eventbus_gateway.kafka.embedded import EmbeddedKafka
from eventbus_gateway.schemas.folder import FolderRegistry

_CONFIG = click.option(
    "--config",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="EVENTBUS_CONFIG",
    help="TOML file; every key can also come from the environment.",
)
_DEV_PARTITIONS = 4


@click.group()
@click.version_option(__version__, prog_name="eventbus")
def main() -> None:
    """Event Bus Gateway: HTTP in, Kafka in the middle, HTTP out."""


@main.command()
@_CONFIG
def serve(path: Path | None) -> None:
    """Run one gateway process until SIGTERM."""
    config = _load(path, os.environ)
    logs.configure()
    _run(_app(config).run())


@main.command("check-config")
@_CONFIG
def check_config(path: Path | None) -> None:
    """Print the configuration that would be used, or everything that is wrong with it."""
    click.echo(describe(_load(path, os.environ)), nl=False)


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
        }
        file = folder / "eventbus.toml"
        config = _load(file if file.exists() else None, {**os.environ, **overrides})
        app = _app(config, embedded=kafka)
        _run(app.run(lambda addresses: click.echo(_welcome(addresses, kafka.bootstrap, folder, topics))))


def _load(path: Path | None, environ: Mapping[str, str]) -> Config:
    try:
        return load(path, environ)
    except InvalidConfig as error:
        click.echo(str(error), err=True)
        sys.exit(2)


def _app(config: Config, *, embedded: EmbeddedKafka | None = None) -> App:
    try:
        return App(config, embedded=embedded)
    except (GatewayError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(main)
        except OSError as error:
            raise click.ClickException(f"Cannot listen: {error.strerror}.") from error


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
            f"  curl -i {base}/v1/topics/{topic}/events -H 'content-type: application/json' --data-binary {data}",
            "",
        ]
    )


if __name__ == "__main__":
    main()
