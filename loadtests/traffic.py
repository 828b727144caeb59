"""The figures of a load test: requests by name, and what the books say."""

import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from loadtests.books import Account, Verdict
from loadtests.histogram import Histogram

_SHARES = (0.5, 0.95, 0.99, 1.0)
_MOST_ERRORS = 5
_TEXT = 300


class Line(NamedTuple):
    """Requests, or events on their way, of one name.

    Args:
        name: what they are.
        ended: how many ended.
        per_second: of them, while events were published.
        errors: how many failed.
        milliseconds: durations that a half, 95 %, 99 % and all of them did not exceed.
    """

    name: str
    ended: int
    per_second: float
    errors: int
    milliseconds: tuple[float, ...]


class Summary(NamedTuple):
    """A whole run.

    Args:
        verdict: what the books say.
        lines: what was measured.
        seconds: how long events were published.
        tasks_failed: different ways in which users themselves broke.
        errors: what the first few that failed were told.
    """

    verdict: Verdict
    lines: tuple[Line, ...]
    seconds: float
    tasks_failed: int
    errors: tuple[str, ...] = ()

    @property
    def faults(self) -> list[str]:
        """Sentences that say what is wrong; none when nothing is."""
        found = [f"{line.errors} of {line.ended} failed: {line.name}" for line in self.lines if line.errors]
        if self.tasks_failed:
            found.append(f"users of the load test broke in {self.tasks_failed} ways")
        return [*self.verdict.faults, *found]

    def as_json(self) -> str:
        """For a file."""
        accounts = [account._asdict() for account in self.verdict.accounts]
        return json.dumps(
            {
                "verdict": {**self.verdict._asdict(), "accounts": accounts},
                "lines": [line._asdict() for line in self.lines],
                "seconds": self.seconds,
                "tasks_failed": self.tasks_failed,
                "errors": self.errors,
            }
        )

    @classmethod
    def of_json(cls, text: str) -> Self:
        """Of a file."""
        found: dict[str, Any] = json.loads(text)
        accounts = tuple(Account(**account) for account in found["verdict"].pop("accounts"))
        lines = tuple(Line(**{**line, "milliseconds": tuple(line["milliseconds"])}) for line in found.pop("lines"))
        found["errors"] = tuple(found["errors"])
        return cls(Verdict(**found.pop("verdict"), accounts=accounts), lines, **found)


class Traffic:
    """Counts and durations of everything, by name.

    Args:
        now: seconds on a clock that only goes forward.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.errors: list[str] = []
        """The first few, for whoever looks why."""
        self._now = now
        self._began = now()
        self._closed: float | None = None
        self._counts: dict[str, int] = defaultdict(int)
        self._while_open: dict[str, int] = defaultdict(int)
        self._failed: dict[str, int] = defaultdict(int)
        self._durations: dict[str, Histogram] = defaultdict(Histogram)

    @property
    def seconds(self) -> float:
        """How long events were published."""
        return (self._now() if self._closed is None else self._closed) - self._began

    def close(self) -> None:
        """Nothing is published from now on."""
        self._closed = self._now()

    def note(self, name: str, response_time: float | None, exception: BaseException | None, **_: Any) -> None:
        """What locust tells of every request; the time is in milliseconds."""
        self._counts[name] += 1
        self._while_open[name] += self._closed is None
        if exception is not None:
            self._failed[name] += 1
            if len(self.errors) < _MOST_ERRORS:
                self.errors.append(f"{name}: {exception}"[:_TEXT])
        elif response_time is not None:
            self._durations[name].add(max(0, int(response_time * 1_000)))

    def lines(self) -> tuple[Line, ...]:
        """All figures."""
        return tuple(self._line(name) for name in sorted(self._counts))

    def _line(self, name: str) -> Line:
        durations = self._durations[name]
        milliseconds = tuple(round(durations.percentile(share) / 1_000, 3) for share in _SHARES)
        rate = self._while_open[name] / self.seconds if self.seconds else 0.0
        return Line(name, self._counts[name], round(rate, 1), self._failed[name], milliseconds)


def summary_text(summary: Summary) -> str:
    """A table and a sentence for people."""
    verdict, rows = summary.verdict, [f"{'':<26}{'count':>10}{'per s':>10}{'errors':>8}"]
    rows[0] += "".join(f"{title:>11}" for title in ("p50 ms", "p95 ms", "p99 ms", "max ms"))
    for line in summary.lines:
        times = "".join(f"{time:>11,.1f}" for time in line.milliseconds)
        rows.append(f"{line.name:<26}{line.ended:>10,}{line.per_second:>10,.1f}{line.errors:>8,}{times}")
    rate = verdict.stored / summary.seconds if summary.seconds else 0.0
    told = f"{verdict.stored:,} stored, {verdict.not_stored:,} not stored, {verdict.unknown:,} unknown"
    rows += ["", f"{verdict.published:,} events published: {told}; {rate:,.0f} stored per second"]
    rows += [
        f"{one.name}: {one.came:,} came, {one.lost:,} lost, {one.disordered:,} out of order, {one.untrue:,} untrue, "
        f"{one.unsigned:,} not signed, {one.repeated:,} again"
        for one in verdict.accounts
    ]
    rows += [f"an error: {error}" for error in summary.errors]
    return "\n".join([*rows, *(f"FAILED: {fault}" for fault in summary.faults)])
