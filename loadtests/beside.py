"""Two gateways under the same load, in turns: what one of them does more is the difference."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.broker import Broker, free_port

from loadtests.either import COUNT
from loadtests.histogram import Histogram
from loadtests.load import Report, histogram, rss_mib
from loadtests.measuring import BENCHMARKS, Failed, loaded, shown, written
from loadtests.processes import EITHER, SERVE, Served, gateway
from loadtests.results import Interval, Result, result, result_of_turns

Config = Callable[[tuple[int, int]], str]
"""A gateway's configuration for its public and internal port."""

_SINGLE = BENCHMARKS[0]
_WARM_UP_SECONDS = 0.5
_ROUNDS = 2


class Beside:
    """Measures single publishes at one gateway beside another one.

    Args:
        broker: a Kafka of its own for the whole run.
        folder: for files that last as long as the run.
        seconds: length of each measured interval.
        environ: variables for the gateways.
    """

    def __init__(self, broker: Broker, folder: Path, seconds: float, environ: dict[str, str]) -> None:
        self._broker = broker
        self._folder = folder
        self._seconds = seconds
        self._environ = environ
        self._answered = 0

    def measure(self, name: str, floor: Config, measured: Config, headers: str = "") -> Result:
        """Measure one.

        Args:
            name: how it is reported.
            floor: of the gateway beside.
            measured: of the gateway that does more.
            headers: further lines of each head, each with its line end.

        Raises:
            Failed: an event was refused, or Kafka holds another number of records than were answered.
        """
        with (
            self._all_stored(),
            self._gateway(f"{name}-floor", floor) as plain,
            self._gateway(name, measured) as other,
        ):
            # The very same requests, or what a longer head takes would count for what is done with it. Short and
            # mirrored: the difference is small, and a machine that gets slower meanwhile does so for both.
            turns = [("floor", plain), ("gateway", other), ("gateway", other), ("floor", plain)] * _ROUNDS
            intervals = [shown(self._interval(what, served, headers)) for what, served in turns]
            memory = rss_mib(other.pid)
        return result(name, intervals, memory)

    def measure_either(self, name: str, config: Config, turns: int) -> Result:
        """Measure one that is both, many times in each second: for what is less than two equal processes differ.

        Args:
            name: how it is reported.
            config: of the gateway that does more.
            turns: how many times as long as one interval that takes.

        Raises:
            Failed: an event was refused, or Kafka holds another number of records than were answered.
        """
        counted = self._folder / f"{name}.json"
        program = (*EITHER, "--counted", str(counted))
        with self._all_stored(), self._gateway(name, config, program) as served:
            self._loaded(served, self._seconds)
            os.kill(served.pid, COUNT)
            latencies = histogram(self._loaded(served, turns * self._seconds, warm_up_seconds=0.0))
            os.kill(served.pid, COUNT)
            memory = rss_mib(served.pid)
        found = json.loads(counted.read_text())
        taken = [Interval(what, events, took, cpu, Histogram()) for what, events, took, cpu in found]
        for kind in ("floor", "gateway"):
            _, events, took, cpu, _ = zip(*[turn for turn in taken if turn.what == kind], strict=True)
            shown(Interval(kind, sum(events), sum(took), sum(cpu), latencies))
        return result_of_turns(name, taken, latencies, memory)

    @property
    def bootstrap(self) -> str:
        """Kafka's address."""
        return self._broker.bootstrap

    @contextlib.contextmanager
    def _gateway(self, name: str, config: Config, program: Sequence[str] = SERVE) -> Iterator[Served]:
        ports = (free_port(), free_port())
        file = self._folder / f"{name}.toml"
        file.write_text(config(ports))
        with gateway(file, ports, self._environ, self._folder / f"{name}.log", program) as served:
            yield served

    @contextlib.contextmanager
    def _all_stored(self) -> Iterator[None]:
        """Hold what was answered meanwhile to what Kafka has then.

        Raises:
            Failed: Kafka has another number of records.
        """
        self._answered = 0
        before = written(self._broker.bootstrap)
        yield
        stored = written(self._broker.bootstrap) - before
        if stored != self._answered:
            raise Failed(f"{self._answered} events were answered as stored, but Kafka has {stored} of them")

    def _interval(self, what: str, served: Served, headers: str) -> Interval:
        report = self._loaded(served, self._seconds, headers)
        events = report.measured[_SINGLE.success]
        return Interval(what, events, report.seconds, report.server_cpu_seconds, histogram(report))

    def _loaded(
        self, served: Served, seconds: float, headers: str = "", warm_up_seconds: float = _WARM_UP_SECONDS
    ) -> Report:
        report = loaded(_SINGLE, served, _SINGLE.success, seconds, headers, warm_up_seconds)
        self._answered += report.answers[_SINGLE.success]
        return report
