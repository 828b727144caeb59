"""What matching an event against subscriptions' patterns costs, next to what parsing the event costs.

No broker and no gateway: the patterns are called as a gateway calls them, with an event that is parsed already.
``python -m loadtests.patterns`` runs it alone.
"""

import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from eventbus_gateway.subscriptions.patterns import PatternIndex, compile_filter
from loadtests.histogram import Histogram
from loadtests.load import rss_mib
from loadtests.results import Interval, Result, result, table

PATTERNS = 1_000
_EVENTS = 2_000
_ROUNDS = 3
_CLINICS = 250
_STATUSES = ("BOOKED", "CHECKED_IN", "COMPLETED", "CANCELLED")
_REGIONS = ("north", "south", "east", "west")


def measure(seconds: float) -> list[Result]:
    """``patterns-1`` and ``patterns-1000``, each in turns with its floor, ``orjson.loads`` of the same events.

    Args:
        seconds: length of each measured interval.
    """
    chance = random.Random(1)
    texts = [orjson.dumps(event(chance)) for _ in range(_EVENTS)]
    events = [orjson.loads(text) for text in texts]
    subjects: Sequence[tuple[str, Callable[[Any], object]]] = (
        ("patterns-1", compile_filter(SINGLE).matches),
        (f"patterns-{PATTERNS}", exact_index().matching),
    )
    return [result(name, _in_turns(work, events, texts, seconds), rss_mib(os.getpid())) for name, work in subjects]


def event(chance: random.Random) -> dict[str, Any]:
    """An event of about 900 bytes as JSON, with 20 fields that have values."""
    clinic = chance.randrange(_CLINICS)
    return {
        "id": f"019aa54c-5f0e-7c61-a3b4-{chance.randrange(16**12):012x}",
        "source": "/scheduling/appointments",
        "type": f"health.example.appointments.{chance.choice(_STATUSES).lower()}",
        "subject": f"appointments/{chance.randrange(10**9):09d}",
        "time": "2026-11-21T09:30:00.123Z",
        "topic": "appointments",
        "key": f"patient-{chance.randrange(10**6):06d}",
        "correlationid": f"{chance.randrange(16**32):032x}",
        "data": {
            "appointmentId": f"{chance.randrange(16**32):032x}",
            "patientId": f"patient-{chance.randrange(10**6):06d}",
            "clinic": {
                "id": f"clinic-{clinic:04d}",
                "name": f"Northside Medical Centre {clinic}",
                "region": chance.choice(_REGIONS),
            },
            "status": chance.choice(_STATUSES),
            "startsAt": "2026-12-01T09:30:00Z",
            "durationMinutes": chance.randrange(10, 90),
            "priority": chance.randrange(1, 6),
            "telehealth": chance.random() < 0.3,
            "bookedBy": f"scheduling-desk/user-{chance.randrange(10**6):06d}",
            "note": "The patient asks to be called the evening before, and needs a room that can be reached without "
            "steps. Please prepare the results of the last two visits, the letter of the cardiologist and the list "
            "of all medicines that were prescribed since then, for the reports of the day before.",
        },
    }


# Every second event passes the first field of its data, every fourth all of them.
SINGLE: dict[str, Any] = {
    "source": ["/scheduling/appointments"],
    "data": {"status": ["BOOKED", "CANCELLED"], "clinic": {"region": ["north", "east"]}, "telehealth": [True, False]},
}


def exact_index(count: int = PATTERNS) -> "PatternIndex[int]":
    """Many filters that all ask for values, of four kinds in turn."""
    index: PatternIndex[int] = PatternIndex()
    for number in range(count):
        index.add(number, compile_filter(exact_filter(number)))
    return index


def exact_filter(number: int) -> dict[str, Any]:
    """One of those filters."""
    kind, number = number % 4, number // 4
    status = _STATUSES[number % 4]
    if kind == 0:
        return {"data": {"clinic": {"id": [f"clinic-{number % _CLINICS:04d}"]}, "status": [status]}}
    if kind == 1:
        return {"type": [f"health.example.appointments.{status.lower()}"], "key": [f"patient-{number:06d}"]}
    if kind == 2:
        data = {"clinic": {"region": [_REGIONS[number % 4]]}, "priority": [number % 5 + 1], "telehealth": [True]}
        return {"source": ["/scheduling/appointments"], "data": data}
    return {
        "topic": ["appointments"],
        "data": {"durationMinutes": [number % 80 + 10, number % 70 + 20], "status": [status]},
    }


def _in_turns(work: Callable[[Any], object], events: list[Any], texts: list[bytes], seconds: float) -> list[Interval]:
    intervals = [_interval("floor", orjson.loads, texts, seconds)]
    for _ in range(_ROUNDS):
        intervals.append(_interval("gateway", work, events, seconds))
        intervals.append(_interval("floor", orjson.loads, texts, seconds))
    return intervals


def _interval(what: str, work: Callable[[Any], object], inputs: Sequence[Any], seconds: float) -> Interval:
    count = 0
    start, cpu = time.perf_counter(), time.process_time()
    while (took := time.perf_counter() - start) < seconds:
        for one in inputs:
            work(one)
        count += len(inputs)
    return Interval(what, count, took, time.process_time() - cpu, Histogram())


if __name__ == "__main__":
    print(table(measure(1.0)))
