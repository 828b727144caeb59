"""Two gateways under the same load, in turns: what one of them does more is the difference."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.broker import Broker, free_port

from loadtests.either import PLAIN, TRACE
from loadtests.load import histogram, rss_mib
from loadtests.measuring import BENCHMARKS, Failed, loaded, shown, written
from loadtests.processes import EITHER, SERVE, Served, gateway
from loadtests.results import Interval, Result, result

Config = Callable[[tuple[int, int]], str]
"""A gateway's configuration for its public and internal port."""

_SINGLE = BENCHMARKS[0]
_WARM_UP_SECONDS = 0.5


class Turn(NamedTuple):
    """Whose turn it is.

    Args:
        what: ``gateway`` or ``floor``.
        served: its process.
        signal: what makes that process be this one; None where it is only this one.
    """

    what: str
    served: Served
    signal: int | None = None


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

    def measure(self, name: str, floor: Config, measured: Config, headers: str = "", rounds: int = 2) -> Result:
        """Measure one.

        Args:
            name: how it is reported.
            floor: of the gateway beside.
            measured: of the gateway that does more.
            headers: further lines of each head, each with its line end.
            rounds: how often both have two turns.

        Raises:
            Failed: an event was refused, or Kafka holds another number of records than were answered.
        """
        with self._gateway(f"{name}-floor", floor) as plain, self._gateway(name, measured) as other:
            return self._measure(name, Turn("floor", plain), Turn("gateway", other), headers, rounds)

    def measure_either(self, name: str, measured: Config, rounds: int) -> Result:
        """Measure one that is both, in turns: for differences that are smaller than those of two equal processes.

        Args:
            name: how it is reported.
            measured: its configuration.
            rounds: how often it has two turns as each.

        Raises:
            Failed: an event was refused, or Kafka holds another number of records than were answered.
        """
        with self._gateway(name, measured, EITHER) as served:
            return self._measure(name, Turn("floor", served, PLAIN), Turn("gateway", served, TRACE), "", rounds)

    def _measure(self, name: str, floor: Turn, measured: Turn, headers: str, rounds: int) -> Result:
        self._answered = 0
        before = written(self._broker.bootstrap)
        # The very same requests, or what a longer head takes would count for what is done with it. Short and
        # mirrored: the difference is small, and a machine that gets slower meanwhile does so for both.
        turns = [floor, measured, measured, floor] * rounds
        intervals = [shown(self._interval(turn, headers)) for turn in turns]
        stored = written(self._broker.bootstrap) - before
        if stored != self._answered:
            raise Failed(f"{self._answered} events were answered as stored, but Kafka has {stored} of them")
        return result(name, intervals, rss_mib(measured.served.pid))

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

    def _interval(self, turn: Turn, headers: str) -> Interval:
        if turn.signal is not None:
            os.kill(turn.served.pid, turn.signal)
        report = loaded(_SINGLE, turn.served, _SINGLE.success, self._seconds, headers, _WARM_UP_SECONDS)
        self._answered += report.answers[_SINGLE.success]
        events = report.measured[_SINGLE.success]
        return Interval(turn.what, events, report.seconds, report.server_cpu_seconds, histogram(report))
