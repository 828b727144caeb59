"""What is done with a subscription beside changing what it is: pause, seek, redrive."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from eventbus_gateway.subscriptions.bodies import Body, expected, faults_below, parsed
from eventbus_gateway.subscriptions.spec import PlaceInTime

_MAX_OFFSET = 2**63 - 1
_PARTITION = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)
_MAX_POSITIONS = 10_000

PauseReason = Literal["gone"]
Offset = Annotated[int, Field(ge=0, le=_MAX_OFFSET)]


def _partition(value: str) -> str:
    if _PARTITION.fullmatch(value) is None:
        raise expected("expected the number of a partition")
    return value


def _positions(value: dict[str, dict[str, int]] | None, info: ValidationInfo) -> dict[str, dict[str, int]] | None:
    topics = info.context if isinstance(info.context, frozenset) else None
    if value is not None and topics is not None and not value.keys() <= topics:
        raise expected("expected topics of the subscription")
    if value is not None and not 0 < sum(map(len, value.values())) <= _MAX_POSITIONS:
        raise expected(f"expected 1 to {_MAX_POSITIONS} partitions")
    return value


Positions = dict[str, dict[Annotated[str, AfterValidator(_partition)], Offset]]


class SeekTarget(Body):
    """Where a subscription shall go on.

    Args:
        to: in all partitions of all topics.
        positions: next offset by topic and partition; partitions that are left out stay where they are.
    """

    to: PlaceInTime | None = None
    positions: Annotated[Positions | None, AfterValidator(_positions)] = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "SeekTarget":
        if (self.to is None) is (self.positions is None):
            raise expected("expected either to or positions")
        return self


class Sought(Body):
    """The last seek, for people: what it did is in the positions of the group that it made.

    Args:
        to: where to; empty where positions were given.
        requested_at: milliseconds since the epoch.
    """

    to: PlaceInTime | None = None
    requested_at: int


class Redrive(Body):
    """The last redrive: dead letters before these ends are events of the subscription again.

    Args:
        until: offset by partition of the dead letter topic, exclusive.
        filter: event pattern; what it does not match stays among the dead letters. All come back when empty.
        requested_at: milliseconds since the epoch.
    """

    filter: dict[str, Any] | None = None
    until: dict[Annotated[str, AfterValidator(_partition)], Offset]
    requested_at: int

    def end(self, partition: int) -> int:
        """The first offset of a partition that is not redriven."""
        return self.until.get(str(partition), 0)


class Control(Body):
    """What all replicas must know beside the spec.

    Args:
        paused: nothing is handed out.
        reason: why the gateway paused it by itself; None where its owner did. ``gone``: its receiver answered 410.
        group: what tells the consumer group of the present state from those of former ones; None in the first.
        sought: the last seek.
        redrive: the last redrive.
    """

    paused: bool = False
    reason: PauseReason | None = None
    group: str | None = Field(None, pattern=r"^[0-9a-f]{16}$")
    sought: Sought | None = None
    redrive: Redrive | None = None


class RedriveBody(Body):
    """What an owner wants back.

    Args:
        filter: event pattern; all dead letters when empty.
    """

    filter: dict[str, Any] | None = None


def parse_redrive(document: Any, check_filter: Callable[[Any], object]) -> dict[str, Any] | None:
    """The event pattern of a caller's redrive, None for all dead letters.

    Args:
        document: parsed JSON.
        check_filter: raises an EventError for what is no filter.

    Raises:
        InvalidSubscription: with every fault.
    """

    def filter_faults() -> list[Any]:
        chosen = document.get("filter") if isinstance(document, dict) else None
        return faults_below("/filter", check_filter, chosen) if isinstance(chosen, dict) else []

    return parsed(RedriveBody, document, None, filter_faults).filter


def parse_seek(document: Any, topics: frozenset[str]) -> SeekTarget:
    """A caller's body as the target of a seek.

    Args:
        document: parsed JSON.
        topics: of the subscription.

    Raises:
        InvalidSubscription: with every fault.
    """
    return parsed(SeekTarget, document, topics)
