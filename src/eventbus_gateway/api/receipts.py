"""What became of a publish, as an answer."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from eventbus_gateway.api.http import JSON, NO_HEADERS, Answer
from eventbus_gateway.api.problems import problem, status_of
from eventbus_gateway.errors import NotAttempted
from eventbus_gateway.kafka.records import NotStored, Outcome, Stored, Unknown
from eventbus_gateway.schema_ids import SchemaId
from eventbus_gateway.subscriptions.instants import Timestamps

_timestamps = Timestamps()
# Past the keyword handling of a named tuple's own constructor, for what is made once an event.
_new = tuple.__new__


def single(topic: str, event_id: str, outcome: Outcome, schema_id: SchemaId | None, instance: str) -> Answer:
    """The answer to a publish of one event: 201, or the problem that stands for the outcome."""
    if not isinstance(outcome, Stored):
        return problem(outcome.error, instance, name_of(outcome))
    partition, offset, timestamp = outcome
    receipt = {
        "id": event_id,
        "topic": topic,
        "partition": partition,
        "offset": offset if offset >= 0 else None,
        "timestamp": _timestamps(timestamp),
        "schemaId": schema_id,
    }
    return _new(Answer, (201, orjson.dumps(receipt), JSON, NO_HEADERS, None))


def batch(event_ids: Sequence[str], outcomes: Sequence[Outcome], instance: str) -> Answer:
    """The answer to a publish of many: 200 all stored, 207 mixed, else the problem that all of them share."""
    stored = list(map(type, outcomes)).count(Stored)
    if stored == 0 and (shared := _shared_problem(outcomes, instance)) is not None:
        return shared
    results = [
        {"id": event_id, "outcome": "stored", "partition": outcome[0], "offset": outcome[1]}
        if type(outcome) is Stored and outcome[1] >= 0
        else _result(event_id, outcome)
        for event_id, outcome in zip(event_ids, outcomes, strict=True)
    ]
    return Answer(200 if stored == len(outcomes) else 207, orjson.dumps({"results": results}))


def name_of(outcome: Outcome) -> str:
    """The outcome's word in the API and in metrics."""
    return _NAMES[type(outcome)]


def tally(outcomes: Sequence[Outcome]) -> Mapping[str, int]:
    """How many events had each outcome."""
    if len(outcomes) == 1:
        return {name_of(outcomes[0]): 1}
    return {_NAMES[kind]: count for kind, count in Counter(map(type, outcomes)).items()}


_NAMES: Mapping[type, str] = {Stored: "stored", NotStored: "not_stored", Unknown: "unknown"}


def _shared_problem(outcomes: Sequence[Outcome], instance: str) -> Answer | None:
    """The problem of events that share outcome and status; one that waited for another does not say what for."""
    cause: NotStored | Unknown | None = None
    for outcome in outcomes:
        if isinstance(outcome, Stored):
            return None
        if cause is None:
            cause = outcome
        elif name_of(outcome) != name_of(cause) or status_of(outcome.error) != status_of(cause.error):
            return None
        elif isinstance(cause.error, NotAttempted):
            cause = outcome
    return problem(cause.error, instance, name_of(cause)) if cause is not None else None


def _result(event_id: str, outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Stored):  # without its offset, or it would not come here
        return {"id": event_id, "outcome": "stored", "partition": outcome.partition, "offset": None}
    return {
        "id": event_id,
        "outcome": name_of(outcome),
        "code": outcome.error.code,
        "detail": outcome.error.detail,
    }
