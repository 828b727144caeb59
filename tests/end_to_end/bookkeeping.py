"""The books and the audit of the Kafka side's fault tests, kept by callers of the HTTP API.

A record of the books becomes an event whose data is its value as a JSON string and whose id is its ``ce_id``.
"""

import json
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from tests.end_to_end.wire import Answer, Unanswered, Wires
from tests.kafka.ledger import Entry, audit
from tests.kafka.support import LoggedRecord, read_log

from eventbus_gateway.errors import GatewayError, OutcomeUnknown
from eventbus_gateway.kafka.flight import UNTOLD
from eventbus_gateway.kafka.records import NotStored, Outcome, Record, Stored, Unknown

_UNTOLD_TIME = -1


class Told(NamedTuple):
    """One answer.

    Args:
        status: its status; 0 where there was none.
        code: of its problem.
        retry_after: as it stands in the header.
        seconds: how long it took.
    """

    status: int
    code: str | None
    retry_after: str | None
    seconds: float


class OverHttp:
    """Publishes records of the books as events of a JSON topic: one alone as itself, several as a batch.

    Args:
        port: where the gateway listens.
    """

    def __init__(self, port: int) -> None:
        self.told: list[Told] = []
        self._wires = Wires(port)

    async def publish(self, topic: str, records: Sequence[Record]) -> list[Outcome]:
        """A ``tests.kafka.ledger.Publish``."""
        body, media, headers = _single(records[0]) if len(records) == 1 else _batch(records)
        started = time.monotonic()
        try:
            answer = await self._wires.publish(topic, body, media, headers)
        except Unanswered:
            self.told.append(Told(0, None, None, time.monotonic() - started))
            return [Unknown(OutcomeUnknown())] * len(records)
        document = answer.json()
        self.told.append(
            Told(answer.status, document.get("code"), answer.headers.get("retry-after"), time.monotonic() - started)
        )
        return _outcomes(answer, document, records)

    def close(self) -> None:
        self._wires.close()

    def check_answers(self, outage_seconds: float) -> None:
        """Every request was answered, none by a failure of the gateway itself, and refusals came at once.

        Args:
            outage_seconds: how long a refusal may take while Kafka is away.
        """
        assert {told.status for told in self.told} <= {200, 201, 207, 503, 504}, self.counts()
        for told in self.told:
            if told.status == 503:
                assert told.retry_after is not None
                assert int(told.retry_after) >= 1
            if told.code == "kafka_unavailable":
                assert told.seconds < outage_seconds

    def counts(self) -> dict[str, int]:
        """How many answers of each kind."""
        kinds = [f"{told.status} {told.code or ''}" for told in self.told]
        return {kind: kinds.count(kind) for kind in set(kinds)}


def audit_of(entries: Sequence[Entry], bootstrap: str, topic: str) -> int:
    """Compare what callers were told with the log, as ``tests.kafka.ledger.audit`` does."""
    log = [_as_in_books(record) for record in read_log(bootstrap, topic)]
    times = {record.value: record.timestamp for record in reversed(log)}
    return audit([_with_time(entry, times) for entry in entries], log)


def _single(record: Record) -> tuple[bytes, str, dict[str, str]]:
    key = (record.key or b"").decode()
    headers = {"ce-id": record.headers[0][1].decode(), "ce-partitionkey": key}
    return json.dumps(record.value.decode()).encode(), "application/json", headers


def _batch(records: Sequence[Record]) -> tuple[bytes, str, dict[str, str]]:
    events = [
        {
            "specversion": "1.0",
            "id": record.headers[0][1].decode(),
            "partitionkey": (record.key or b"").decode(),
            "data": record.value.decode(),
        }
        for record in records
    ]
    return json.dumps(events).encode(), "application/cloudevents-batch+json", {}


def _outcomes(answer: Answer, document: Any, records: Sequence[Record]) -> list[Outcome]:
    if answer.status == 201:
        documents = [{**document, "outcome": "stored"}]
    elif answer.status in {200, 207}:
        documents = document["results"]
    else:
        return [_outcome(document)] * len(records)
    assert [each["id"] for each in documents] == [record.headers[0][1].decode() for record in records]
    outcomes = [_outcome(each) for each in documents]
    assert answer.status != 200 or all(isinstance(outcome, Stored) for outcome in outcomes)
    return outcomes


def _outcome(document: Any) -> Outcome:
    match document["outcome"]:
        case "stored":
            told = document.get("timestamp")
            moment = _UNTOLD_TIME if told is None else round(datetime.fromisoformat(told).timestamp() * 1_000)
            # Kafka may confirm a record without telling where it is; such a receipt has null.
            offset = UNTOLD if document["offset"] is None else document["offset"]
            return Stored(document["partition"], offset, moment)
        case "not_stored":
            return NotStored(GatewayError(document["code"]))
        case "unknown":
            return Unknown(GatewayError(document["code"]))
    raise AssertionError(f"no outcome: {document}")


def _as_in_books(record: LoggedRecord) -> LoggedRecord:
    value = json.loads(record.value or b"null").encode()
    return record._replace(value=value, headers=[header for header in record.headers if header[0] == "ce_id"])


def _with_time(entry: Entry, times: dict[bytes | None, int]) -> Entry:
    """Results of a batch have no timestamp: nothing to compare."""
    outcome = entry.outcome
    if isinstance(outcome, Stored) and outcome.timestamp == _UNTOLD_TIME:
        outcome = outcome._replace(timestamp=times.get(entry.record.value, _UNTOLD_TIME))
    return Entry(entry.record, outcome)
