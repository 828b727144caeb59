"""Events and requests that are made before anything is measured."""

import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path

SCHEMAS = Path(__file__).parent / "schemas"
TOPIC = "visits"
KEY = "/visitId"

_STATUSES = ("BOOKED", "CHECKED_IN", "COMPLETED", "CANCELLED")
_REASONS = ("follow-up after surgery", "annual check of the heart", None, "vaccination before a journey")
_REGIONS = ("north", "south", "east", "west")


def events(count: int, seed: int = 1) -> list[bytes]:
    """Different events as JSON, the same ones for the same seed."""
    chance = random.Random(seed)
    return [_event(chance) for _ in range(count)]


def publishes(topic: str, per_request: int, count: int, headers: str = "") -> list[bytes]:
    """Whole HTTP requests, each with one event as JSON or several as NDJSON.

    Args:
        topic: where to.
        per_request: events in each.
        count: how many requests.
        headers: further lines of each head, each with its line end.
    """
    made = events(per_request * count)
    media_type = "application/json" if per_request == 1 else "application/x-ndjson"
    return [_request(topic, media_type, body, headers) for body in _bodies(made, per_request)]


def numbered(topic: str, count: int) -> list[bytes]:
    """Whole HTTP requests with one event each, whose id is its number."""
    return [_request(topic, "application/json", body, f"ce-id: {n}\r\n") for n, body in enumerate(events(count))]


def _bodies(made: list[bytes], per_request: int) -> Iterator[bytes]:
    for start in range(0, len(made), per_request):
        yield b"\n".join(made[start : start + per_request])


def _request(topic: str, media_type: str, body: bytes, further: str = "") -> bytes:
    head = (
        f"POST /v1/topics/{topic}/events HTTP/1.1\r\n"
        "host: gateway.example\r\n"
        "user-agent: loadtests\r\n"
        "accept: application/json\r\n"
        f"content-type: {media_type}\r\n"
        f"{further}"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _event(chance: random.Random) -> bytes:
    clinic = chance.randrange(40)
    event = {
        "visitId": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        "patientId": f"patient-{uuid.UUID(int=chance.getrandbits(128), version=4)}",
        "clinic": {
            "id": f"clinic-{clinic:04d}",
            "name": f"Northside Medical Centre {clinic}",
            "region": _REGIONS[clinic % 4],
        },
        "status": chance.choice(_STATUSES),
        "startsAt": f"2026-{chance.randrange(1, 13):02d}-{chance.randrange(1, 29):02d}T09:30:00Z",
        "durationMinutes": chance.randrange(10, 90),
        "priority": round(chance.random(), 3),
        "telehealth": chance.random() < 0.3,
        "reason": chance.choice(_REASONS),
        "tags": ["outpatient", "first-contact", f"ward-{chance.randrange(20)}"],
        "bookedBy": f"scheduling-desk/user-{chance.randrange(10**6):06d}",
        "version": chance.randrange(1, 50),
    }
    return json.dumps(event, separators=(",", ":")).encode()
