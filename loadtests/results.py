"""From measured intervals to the numbers that are reported."""

from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import NamedTuple

from loadtests.histogram import Histogram, merged


class Interval(NamedTuple):
    """One measured interval of a server or of the produce loop.

    Args:
        what: ``gateway`` or ``floor``.
        events: events stored, or requests answered by a floor.
        seconds: its length.
        cpu_seconds: CPU time of the measured process within it.
        latencies: durations of its requests, empty for the produce loop.
    """

    what: str
    events: int
    seconds: float
    cpu_seconds: float
    latencies: Histogram

    @property
    def events_per_second(self) -> float:
        """How fast it was."""
        return self.events / self.seconds

    @property
    def cpu_us_per_event(self) -> float:
        """CPU time per event in microseconds."""
        return self.cpu_seconds / self.events * 1e6 if self.events else float("nan")


class Result(NamedTuple):
    """The line of one benchmark.

    Args:
        name: which benchmark.
        events_per_second: events stored per second.
        cpu_us_per_event: CPU microseconds of the gateway's process per stored event.
        floor_us: CPU microseconds that the floor needs for the same; None where nothing is measured beside.
        ratio: how many times the floor that is.
        p50_ms: median duration of a request.
        p99_ms: duration that 99 of 100 requests do not exceed.
        rss_mib: resident memory of the gateway at the end.
    """

    name: str
    events_per_second: float
    cpu_us_per_event: float
    floor_us: float | None
    ratio: float | None
    p50_ms: float
    p99_ms: float
    rss_mib: float


def result(name: str, intervals: Sequence[Interval], rss_mib: float) -> Result:
    """The line for intervals of gateway and floor that were measured in turns.

    Costs are means over the intervals, so that a slow moment of the machine weighs on both alike; durations are those
    of all requests together.
    """
    gateway = [interval for interval in intervals if interval.what == "gateway"]
    floors = [interval for interval in intervals if interval.what == "floor"]
    cost = fmean(interval.cpu_us_per_event for interval in gateway)
    floor = fmean(interval.cpu_us_per_event for interval in floors) if floors else None
    latencies = merged(interval.latencies for interval in gateway)
    return _line(name, fmean(interval.events_per_second for interval in gateway), cost, floor, latencies, rss_mib)


def result_of_turns(name: str, turns: Sequence[Interval], latencies: Histogram, rss_mib: float) -> Result:
    """The line for one process that was gateway and floor in many short turns.

    Each turn of the gateway is held against the two of the floor around it, and the median of that is the ratio: a
    slow moment of the machine spoils a few of them, and not the result.

    Args:
        name: which benchmark.
        turns: in their order; the first and the last may have been shorter.
        latencies: durations of all requests.
        rss_mib: resident memory of the process.
    """
    costs = [(turn.what, turn.cpu_us_per_event) for turn in turns]
    ratios = [
        cost / fmean((before, after))
        for (_, before), (what, cost), (_, after) in zip(costs[1:-1], costs[2:-1], costs[3:-1], strict=False)
        if what == "gateway"
    ]
    floor, ratio = median(cost for what, cost in costs if what == "floor"), median(ratios)
    speed = median(turn.events_per_second for turn in turns if turn.what == "gateway")
    return _line(name, speed, floor * ratio, floor, latencies, rss_mib)


def _line(
    name: str, events_per_second: float, cost: float, floor: float | None, latencies: Histogram, rss_mib: float
) -> Result:
    return Result(
        name,
        round(events_per_second, 1),
        round(cost, 3),
        None if floor is None else round(floor, 3),
        None if floor is None else round(cost / floor, 3),
        round(latencies.percentile(0.5) / 1_000, 3),
        round(latencies.percentile(0.99) / 1_000, 3),
        round(rss_mib, 1),
    )


def table(results: Iterable[Result]) -> str:
    """Results as aligned text."""
    head = ("name", "events/s", "CPU µs/event", "floor µs", "ratio", "p50 ms", "p99 ms", "RSS MiB")
    rows = [
        (
            line.name,
            f"{line.events_per_second:,.0f}",
            f"{line.cpu_us_per_event:.1f}",
            "" if line.floor_us is None else f"{line.floor_us:.1f}",
            "" if line.ratio is None else f"{line.ratio:.2f}",
            f"{line.p50_ms:.3f}" if line.p50_ms else "",
            f"{line.p99_ms:.3f}" if line.p50_ms else "",
            f"{line.rss_mib:.0f}",
        )
        for line in results
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in cells)
        for cells in (enumerate(zip(row, widths, strict=True)) for row in (head, *rows))
    )
