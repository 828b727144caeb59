"""What a subscription's owner says about it."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from eventbus_gateway.kafka.cluster import is_public
from eventbus_gateway.subscriptions.bodies import Body, by_type, expected, faults_below, parsed
from eventbus_gateway.subscriptions.instants import milliseconds, timestamp
from eventbus_gateway.subscriptions.spec_rules import SpecRules, rules_of
from eventbus_gateway.subscriptions.webhook_spec import WebhookDelivery

_MOST_TOPICS = 1_000
"""Whatever the settings say; with it a long list is not looked at to its end."""


def _place_in_time(value: str) -> str:
    if value in {"earliest", "latest"}:
        return value
    try:
        return timestamp(milliseconds(value))
    except (ValueError, OverflowError):
        raise expected("expected earliest, latest or an RFC 3339 timestamp such as 2026-01-31T09:30:00Z") from None


def _topic(value: str) -> str:
    if not is_public(value):
        raise expected("expected the name of a topic: letters, digits, '.', '_' and '-', not beginning with '_'")
    return value


def _topics(values: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise expected("expected each topic once")
    rules = rules_of(info)
    if rules is not None and len(values) > rules.settings.max_topics:
        raise expected(f"expected at most {rules.settings.max_topics} topics")
    return values


def _parallelism(value: int, info: ValidationInfo) -> int:
    rules = rules_of(info)
    if rules is not None and value > rules.settings.max_parallelism:
        raise expected(f"expected at most {rules.settings.max_parallelism}")
    return value


def _lease_seconds(value: float | None, info: ValidationInfo) -> float | None:
    rules = rules_of(info)
    if rules is not None and value is not None and value > rules.settings.max_lease_seconds:
        raise expected(f"expected at most {rules.settings.max_lease_seconds:g}")
    return value


PlaceInTime = Annotated[str, AfterValidator(_place_in_time)]
"""``earliest``, ``latest`` or a timestamp."""


class PullDelivery(Body):
    """Clients ask for events and lease them.

    Args:
        type: the kind of delivery.
        order: ``key`` hands out no event of a key while an earlier one of it is unacked.
        lease_seconds: how long a client has for an event when it does not say; the gateway's default when empty.
        max_deliveries: hand-outs of an event before it becomes a dead letter; no limit when empty.
        max_in_flight: events that are leased at the same time; only the gateway's window limits them when empty.
    """

    type: Literal["pull"]
    order: Literal["none", "key"] = "none"
    lease_seconds: Annotated[float | None, AfterValidator(_lease_seconds)] = Field(None, ge=1)
    max_deliveries: int | None = Field(16, ge=1, le=10_000)
    max_in_flight: int | None = Field(None, ge=1, le=1_000_000)


Delivery = Annotated[
    PullDelivery | WebhookDelivery,
    Field(discriminator="type"),
    BeforeValidator(by_type({"pull": PullDelivery, "webhook": WebhookDelivery})),
]


class Spec(Body):
    """What a subscription shall be.

    Args:
        topics: names of its topics.
        filter: event pattern; all events when empty.
        start: where it begins in partitions that exist when it is created.
        parallelism: number of shards that replicas can work on at the same time.
        delivery: how events reach their consumers.
    """

    topics: Annotated[tuple[Annotated[str, AfterValidator(_topic)], ...], AfterValidator(_topics)] = Field(
        min_length=1, max_length=_MOST_TOPICS, strict=False
    )
    filter: dict[str, Any] | None = None
    start: PlaceInTime = "latest"
    parallelism: Annotated[int, AfterValidator(_parallelism)] = Field(1, ge=1, le=64)
    delivery: Delivery = PullDelivery(type="pull")

    def completed(self, before: "Spec | None") -> "Spec":
        """With the secrets that are stored where it has none; see ``WebhookDelivery.completed``."""
        if not isinstance(self.delivery, WebhookDelivery):
            return self
        stored = None if before is None else before.delivery
        return self.model_copy(update={"delivery": self.delivery.completed(stored)})


def parse_spec(document: object, rules: SpecRules) -> Spec:
    """A caller's body as a spec.

    Args:
        document: parsed JSON.
        rules: limits, and what checks filters.

    Raises:
        InvalidSubscription: with every fault.
    """

    def filter_faults() -> list[Any]:
        chosen = document.get("filter") if isinstance(document, dict) else None
        return faults_below("/filter", rules.check_filter, chosen) if isinstance(chosen, dict) else []

    return parsed(Spec, document, rules, filter_faults)
