"""How replicas ask each other about shards: what goes over the wire, as both sides write and read it.

::

    POST /internal/v1/shards/{subscription}/{shard}/receive   {"max_events", "max_bytes", "lease_seconds"}
                                                              -> one event per line
    POST …/ready                                              {"seconds"} -> {"ready"}
    POST …/settle                                             {"verb", "tokens", "seconds", "reason"} -> {"outcomes"}
    POST …/status                                             {} -> {"counts", "partitions", "trouble", "endpoint"}
    POST …/attempts                                           {"limit"} -> one attempt per line

Errors are problem documents, as everywhere. Events stay the bytes that their owner made: as JSON texts they have no
line breaks, so whoever passes them on only looks for these. Replicas of neighbouring versions talk to each other
while a new one is rolled out: members that are not known are passed over, and what is not understood at all counts as
no answer.
"""

import hmac
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeVar

import orjson
from pydantic import SecretStr, TypeAdapter, ValidationError

from eventbus_gateway.subscriptions.calls import Ask, HandedOut, PartitionStatus, Settling, ShardStatus, Verb
from eventbus_gateway.subscriptions.hand import EndpointStatus
from eventbus_gateway.subscriptions.leased import Outcome
from eventbus_gateway.subscriptions.leases import Counts
from eventbus_gateway.subscriptions.references import References, tokens_of
from eventbus_gateway.subscriptions.rendering import token_in
from eventbus_gateway.subscriptions.tokens import Reference, parse, token_of

T = TypeVar("T")

PATH: Final = "/internal/v1/shards/"
EVENTS: Final = "application/x-ndjson"
"""Media type of the answer to ``receive``; all others are JSON."""

_PURPOSE = b"eventbus peers, version 1"
_ASK = TypeAdapter(Ask)
_COUNTS = TypeAdapter(Counts)
_PARTITION = TypeAdapter(PartitionStatus)
_ENDPOINT = TypeAdapter(EndpointStatus)
_SECONDS = TypeAdapter(float)
_LIMIT = TypeAdapter(int)


class Call(Enum):
    """What can be asked; also the end of its path."""

    RECEIVE = "receive"
    READY = "ready"
    SETTLE = "settle"
    STATUS = "status"
    ATTEMPTS = "attempts"


class NotUnderstood(Exception):
    """Bytes of another replica mean nothing here. The text names no value."""


def path(subscription_id: str, shard: int, call: Call) -> str:
    """Where a shard is asked.

    Args:
        subscription_id: id of the subscription.
        shard: number of the shard.
        call: what to ask.
    """
    return f"{PATH}{subscription_id}/{shard}/{call.value}"


def credential(secret: SecretStr) -> str:
    """What replicas send as ``authorization``: derived from their secret, which itself never goes over the wire."""
    return "Bearer " + hmac.digest(secret.get_secret_value().encode(), _PURPOSE, "sha256").hex()


def ask_to_bytes(ask: Ask) -> bytes:
    """The body of ``receive``."""
    return orjson.dumps(ask._asdict())


def ask_from_bytes(body: bytes) -> Ask:
    """See ``ask_to_bytes``.

    Raises:
        NotUnderstood: it is no such body.
    """
    return _validated(_ASK, _known(_object(body), Ask._fields))


def events_to_bytes(events: Sequence[bytes]) -> bytes:
    """The answer to ``receive``.

    Args:
        events: JSON texts without line breaks.
    """
    return b"\n".join(events)


def events_from_bytes(body: bytes) -> list[bytes]:
    """See ``events_to_bytes``.

    Raises:
        NotUnderstood: it is no such answer.
    """
    events = body.split(b"\n") if body else []
    if not all(event.startswith(b"{") and event.endswith(b"}") for event in events):
        raise NotUnderstood("events are not one JSON object a line")
    return events


def handed_out_from_bytes(body: bytes) -> HandedOut:
    """The answer to ``receive``, with what stands for all of its events.

    Raises:
        NotUnderstood: it is no such answer.
    """
    events = events_from_bytes(body)
    return HandedOut(events, tokens_of(References.of([_reference(token_in(event)) for event in events])))


def seconds_to_bytes(seconds: float) -> bytes:
    """The body of ``ready``."""
    return orjson.dumps({"seconds": seconds})


def seconds_from_bytes(body: bytes) -> float:
    """See ``seconds_to_bytes``.

    Raises:
        NotUnderstood: it is no such body.
    """
    return _validated(_SECONDS, _object(body).get("seconds"))


def readiness_to_bytes(ready: bool) -> bytes:
    """The answer to ``ready``."""
    return orjson.dumps({"ready": ready})


def readiness_from_bytes(body: bytes) -> bool:
    """See ``readiness_to_bytes``.

    Raises:
        NotUnderstood: it is no such answer.
    """
    ready = _object(body).get("ready")
    if not isinstance(ready, bool):
        raise NotUnderstood("ready is no boolean")
    return ready


def settling_to_bytes(settling: Settling) -> bytes:
    """The body of ``settle``."""
    tokens = list(map(token_of, settling.references))
    return orjson.dumps(
        {"verb": settling.verb.value, "tokens": tokens, "seconds": settling.seconds, "reason": settling.reason}
    )


def settling_from_bytes(body: bytes) -> Settling:
    """See ``settling_to_bytes``.

    Raises:
        NotUnderstood: it is no such body.
    """
    found = _object(body)
    verb, tokens, reason = found.get("verb"), found.get("tokens"), found.get("reason")
    if not (isinstance(tokens, list) and isinstance(reason, str)):
        raise NotUnderstood("tokens is no array, or reason no string")
    try:
        return Settling(
            Verb(verb), [_reference(each) for each in tokens], _validated(_SECONDS, found.get("seconds")), reason
        )
    except ValueError:
        raise NotUnderstood("verb is none of those that are known") from None


def outcomes_to_bytes(outcomes: Sequence[Outcome]) -> bytes:
    """The answer to ``settle``."""
    return orjson.dumps({"outcomes": [outcome.value for outcome in outcomes]})


def outcomes_from_bytes(body: bytes, count: int) -> list[Outcome]:
    """See ``outcomes_to_bytes``.

    Args:
        body: the answer.
        count: how many references there were.

    Raises:
        NotUnderstood: it is no such answer.
    """
    outcomes = _object(body).get("outcomes")
    if not isinstance(outcomes, list) or len(outcomes) != count:
        raise NotUnderstood("outcomes is no array of one outcome per reference")
    try:
        return [Outcome(outcome) for outcome in outcomes]
    except ValueError:
        raise NotUnderstood("an outcome is none of those that are known") from None


def status_to_bytes(status: ShardStatus) -> bytes:
    """The answer to ``status``."""
    partitions = [partition._asdict() for partition in status.partitions]
    endpoint = None if status.endpoint is None else status.endpoint._asdict()
    counts = status.counts._asdict()
    return orjson.dumps({"counts": counts, "partitions": partitions, "trouble": status.trouble, "endpoint": endpoint})


def status_from_bytes(body: bytes) -> ShardStatus:
    """See ``status_to_bytes``.

    Raises:
        NotUnderstood: it is no such answer.
    """
    found = _object(body)
    counts, partitions, trouble = found.get("counts"), found.get("partitions"), found.get("trouble")
    endpoint = found.get("endpoint")
    if not (isinstance(partitions, list) and (trouble is None or isinstance(trouble, str))):
        raise NotUnderstood("partitions is no array, or trouble no string")
    return ShardStatus(
        _validated(_COUNTS, _known(counts, Counts._fields)),
        tuple(_validated(_PARTITION, _known(each, PartitionStatus._fields)) for each in partitions),
        trouble,
        None if endpoint is None else _validated(_ENDPOINT, _known(endpoint, EndpointStatus._fields)),
    )


def limit_to_bytes(limit: int) -> bytes:
    """The body of ``attempts``."""
    return orjson.dumps({"limit": limit})


def limit_from_bytes(body: bytes) -> int:
    """See ``limit_to_bytes``.

    Raises:
        NotUnderstood: it is no such body.
    """
    return _validated(_LIMIT, _object(body).get("limit"))


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise NotUnderstood("it is no JSON") from None
    if not isinstance(found, dict):
        raise NotUnderstood("it is no JSON object")
    return found


def _known(found: Any, names: Sequence[str]) -> Any:
    return {name: found[name] for name in names if name in found} if isinstance(found, dict) else found


def _validated(adapter: TypeAdapter[T], found: Any) -> T:
    try:
        return adapter.validate_python(found, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise NotUnderstood(f"{'.'.join(map(str, first['loc'])) or 'a member'}: {first['type']}") from None


def _reference(text: Any) -> Reference:
    reference = parse(text) if isinstance(text, str) else None
    if reference is None:
        raise NotUnderstood("a token is none")
    return reference
