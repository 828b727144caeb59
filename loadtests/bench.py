"""``python -m loadtests.bench``: what an event costs, next to what it must cost at the least on the same machine.

A real gateway in front of a real Kafka. Each benchmark measures its floor, the gateway, the floor, the gateway and
the floor again, so that a machine that is slow for a while is slow for both. The floors are

- ``publish-single`` and ``publish-one-connection``: a bare uvicorn that reads the same requests and answers each with
  a constant, under the same load;
- ``publish-batch100``: librdkafka in a plain loop, with the very records that the gateway has written;
- ``publish-key`` and ``publish-token``: the same gateway under the same load, where nobody looks at the credentials;
- ``publish-traced``: the same process under the same load, in turns a gateway where nothing is traced;
- ``metrics-cost``: the same gateway inside this process, whose writers of metrics do nothing;
- ``pull-…``: librdkafka in a plain loop that reads and decodes the very records that are pulled;
- ``webhook-…``: such a loop that also sends them with aiohttp, in requests of the same size;
- ``patterns-…``: parsing the events.

Every answer must be a success, and Kafka must hold exactly as many records as were answered; else the run fails.
"""

import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import confluent_kafka
from tests.broker import Broker
from tests.broker.distribution import VERSION

from eventbus_gateway.config import describe
from eventbus_gateway.config import load as load_config
from loadtests import floor_produce, patterns
from loadtests.consuming import NAMES as CONSUMING
from loadtests.consuming import Consuming
from loadtests.events import TOPIC
from loadtests.identifying import NAMES as IDENTIFYING
from loadtests.identifying import Identifying
from loadtests.measuring import BENCHMARKS, FLOOR_TOPIC, PARTITIONS, Failed, Run, gateway_config
from loadtests.observing import NAMES as OBSERVING
from loadtests.observing import Observing
from loadtests.pushing import NAMES as PUSHING
from loadtests.pushing import Pushing
from loadtests.results import Result, table

# Old segments go soon, because a run writes gigabytes; otherwise Kafka's own settings.
BROKER = {"log.retention.check.interval.ms": "2000"}
PATTERNS = "patterns"
NAMES = (*(one.name for one in BENCHMARKS), *IDENTIFYING, *OBSERVING, *CONSUMING, *PUSHING, PATTERNS)
TOPIC_SETTINGS = {"retention.bytes": "33554432", "segment.bytes": "16777216"}


def surroundings(folder: Path, bootstrap: str, environ: dict[str, str]) -> dict[str, str]:
    """Everything that the numbers depend on."""
    config = folder / "shown.toml"
    config.write_text(gateway_config(bootstrap, (1, 2)))
    lines = describe(load_config(config, environ)).splitlines()
    left_out = ("port =", "internal_port =", "bootstrap_servers =", "folder =")
    defaults = ("# default", "# as in topic_defaults")
    set_here = [
        line for line in lines if " = " in line and not line.endswith(defaults) and not line.startswith(left_out)
    ]
    ours = [line.partition("  #")[0] for line in set_here]
    return {
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "librdkafka": confluent_kafka.libversion()[0],
        "broker": f"Apache Kafka {VERSION}, 1 broker, settings of tests/broker",
        "topic": f"{PARTITIONS} partitions, 1 replica, {_pairs({**BROKER, **TOPIC_SETTINGS})}",
        "gateway": f"1 process, access log to /dev/null, defaults but for {', '.join(ours)}",
        "record floor": _pairs(floor_produce.SETTINGS),
    }


@click.command()
@click.option("--only", type=click.Choice(NAMES), multiple=True, help="Can be repeated.")
@click.option("--seconds", type=click.FloatRange(0.5, 600), default=2.5, show_default=True, help="Of each interval.")
@click.option("--hot-path", type=click.Choice(["protocol", "asgi"]), help="Of the gateway; its default if left out.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("build/bench.json"))
def main(only: tuple[str, ...], seconds: float, hot_path: str | None, output: Path) -> None:
    """Measure what an event costs."""
    environ = {"EVENTBUS_HTTP__HOT_PATH": hot_path} if hot_path else {}
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="eventbus-bench-") as name, Broker(BROKER) as broker:
        folder = Path(name)
        for topic in (TOPIC, FLOOR_TOPIC):
            broker.create_topic(topic, PARTITIONS, config=TOPIC_SETTINGS)
        for what, text in surroundings(folder, broker.bootstrap, environ).items():
            click.echo(f"{what + ':':<14}{text}")
        identifying = Identifying(broker, folder, seconds, environ)
        observing = Observing(broker, folder, seconds, environ)
        consuming = Consuming(broker, folder, seconds / 2, environ)
        pushing = Pushing(broker, folder, seconds / 2, environ)
        measures: dict[str, Callable[[], Result]] = {
            **{one.name: Run(one, broker, folder, seconds, environ) for one in BENCHMARKS},
            **{what: partial(identifying, what) for what in IDENTIFYING},
            **{what: partial(observing, what) for what in OBSERVING},
            **{what: partial(consuming, what) for what in CONSUMING},
            **{what: partial(pushing, what) for what in PUSHING},
        }
        for what, measure in measures.items():
            if only and what not in only:
                continue
            click.echo(f"\n{what}")
            try:
                results.append(measure())
            except (Failed, RuntimeError) as error:
                raise click.ClickException(f"{what}: {error}") from error
    if not only or PATTERNS in only:
        results += patterns.measure(seconds / 3)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps([line._asdict() for line in results], indent=2) + "\n")
    click.echo(f"\n{table(results)}\n\nwritten to {output}")


def _commit() -> str:
    git = ["git", "-C", str(Path(__file__).parent)]
    commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    if commit.returncode != 0:
        return "unknown"
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False).stdout
    return commit.stdout.strip() + (" with uncommitted changes" if changed.strip() else "")


def _pairs(settings: dict[str, object] | dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())


if __name__ == "__main__":
    main()
