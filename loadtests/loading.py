"""``python -m loadtests.loading``: load on a gateway, and whether everything that was acknowledged arrived.

Against what ``make dev`` runs, with the Kafka inside it, and against a gateway in front of a real broker. All of it
is started and ended here, on the loopback address. The exit status is 1 when an event was lost, came out of order or
from nowhere, or when a request failed.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from tests.broker import Broker, free_port

from loadtests.events import KEY, SCHEMAS, TOPIC
from loadtests.measuring import PARTITIONS, pushing_config
from loadtests.processes import Served, development, gateway, listening
from loadtests.swarm import PROFILES, Broken, Plan, swarm
from loadtests.traffic import Summary

DEVELOPMENT = "dev"
BROKER = "broker"
# Far more than any subscription is behind, and little enough for an hour on a laptop.
_RETENTION = {"retention.bytes": str(128 * 1024 * 1024), "segment.bytes": str(16 * 1024 * 1024)}


@contextlib.contextmanager
def in_development(folder: Path) -> Iterator[Served]:
    """A gateway for development with the topic of the events.

    Args:
        folder: for files that last as long as it.
    """
    served = folder / "served"
    served.mkdir()
    shutil.copy(SCHEMAS / f"{TOPIC}.avsc", served)
    (served / "eventbus.toml").write_text(f'[topics."{TOPIC}"]\nkey = "{KEY}"\n')
    with development(served, folder / "dev.log") as one:
        yield one


@contextlib.contextmanager
def before_broker(
    broker: Broker, folder: Path, topic: str = TOPIC, further: str = ""
) -> Iterator[tuple[Served, int]]:
    """A gateway in front of a broker, and its internal port.

    Args:
        broker: gets the topic.
        folder: for files that last as long as it.
        topic: where events are published.
        further: tables of the configuration.
    """
    broker.create_topic(topic, PARTITIONS, config=_RETENTION)
    ports = (free_port(), free_port())
    config = folder / "gateway.toml"
    config.write_text(pushing_config(broker.bootstrap, ports, topic, folder) + further)
    with gateway(config, ports, {}, folder / "gateway.log") as one:
        yield one, ports[1]


@contextlib.contextmanager
def _gateway(against: str, folder: Path) -> Iterator[Served]:
    if against == DEVELOPMENT:
        with in_development(folder) as one:
            yield one
    else:
        with Broker() as broker, before_broker(broker, folder) as (one, _):
            yield one


@click.command()
@click.option("--profile", type=click.Choice(tuple(PROFILES)), default="mixed", show_default=True)
@click.option("--seconds", type=click.IntRange(1, 3_600), default=30, show_default=True, help="Of publishing.")
@click.option("--users", type=click.IntRange(1, 1_000), default=16, show_default=True, help="Of all kinds together.")
@click.option(
    "--rate", type=click.FloatRange(0), default=20.0, show_default=True, help="Of each producer per second; 0: all."
)
@click.option("--against", type=click.Choice([DEVELOPMENT, BROKER]), multiple=True, help="Both when left out.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=Path("build"), show_default=True)
def main(profile: str, seconds: int, users: int, rate: float, against: tuple[str, ...], output: Path) -> None:
    """Make load, and see that nothing is lost."""
    output.mkdir(parents=True, exist_ok=True)
    summaries: list[Summary] = []
    for one in against or (DEVELOPMENT, BROKER):
        click.echo(f"\n{profile} against {'eventbus dev' if one == DEVELOPMENT else 'a real broker'}, {seconds} s\n")
        with (
            tempfile.TemporaryDirectory(prefix="eventbus-load-") as name,
            listening("loadtests.hooks") as receiver,
            _gateway(one, Path(name)) as served,
        ):
            plan = Plan(f"http://127.0.0.1:{served.port}", receiver.base, profile, seconds, users, rate)
            try:
                summaries.append(swarm(plan, output.resolve() / f"load-{one}.json"))
            except Broken as broken:
                raise click.ClickException(str(broken)) from None
    if any(summary.faults for summary in summaries):
        raise click.ClickException("the load test failed")


if __name__ == "__main__":
    main()
