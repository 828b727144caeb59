"""The delivery of a subscription whose events the gateway sends to a URL."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from eventbus_gateway.errors import Fault, InvalidSubscription
from eventbus_gateway.subscriptions.bodies import Body, expected
from eventbus_gateway.subscriptions.leased import Order
from eventbus_gateway.subscriptions.spec_rules import rules_of
from eventbus_gateway.subscriptions.webhook_auth import Auth, Url

_LEASE_MARGIN_SECONDS = 60.0


class Batch(Body):
    """What goes into one request of the format ``batch``.

    Args:
        max_events: number of events at the most.
        max_bytes: size of the body at the most; a single larger event is sent all the same.
        wait_seconds: how long the first event waits for others.
    """

    max_events: int = Field(100, ge=1, le=1_000)
    max_bytes: int = Field(1_048_576, ge=1_024, le=8_388_608)
    wait_seconds: float = Field(1.0, ge=0, le=300)


_SINGLE = Batch.model_validate({"maxEvents": 1, "waitSeconds": 0})


class Retry(Body):
    """How often and how long an event is tried before it becomes a dead letter.

    Args:
        max_attempts: attempts of one event; no limit when empty.
        max_age_seconds: no attempt begins later than so long after the first one; no limit when empty.
        first_backoff_seconds: longest wait after the first attempt; it doubles with each further one.
        max_backoff_seconds: longest wait of all.
        on_client_error: what becomes of an event that the receiver refuses with a 4xx that is about the event.
    """

    max_attempts: int | None = Field(24, ge=1, le=10_000)
    max_age_seconds: float | None = Field(86_400.0, ge=1, le=2_592_000)
    first_backoff_seconds: float = Field(5.0, ge=0.1, le=3_600)
    max_backoff_seconds: float = Field(3_600.0, ge=0.1, le=86_400)
    on_client_error: Literal["retry", "dead_letter"] = "retry"

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.max_backoff_seconds < self.first_backoff_seconds:
            raise expected("expected maxBackoffSeconds of at least firstBackoffSeconds")
        return self


def _handshake(value: Literal["none", "cloudevents"], info: ValidationInfo) -> Literal["none", "cloudevents"]:
    rules = rules_of(info)
    if value != "none" and rules is not None and not rules.asks_receivers:
        raise expected("expected none: this gateway has no name to ask receivers with (webhooks.origin)")
    return value


class WebhookDelivery(Body):
    """The gateway sends events to a URL.

    Numbers and rates are those of each of the subscription's shards.

    Args:
        type: the kind of delivery.
        url: where events are sent.
        format: CloudEvents in ``binary`` or ``structured`` mode, or in a ``batch``.
        order: what keeps its order: the events of a ``key``, of a ``partition``, or nothing.
        max_in_flight: requests under way at the same time.
        rate_per_second: requests that begin per second; only the receiver's answers limit them when empty.
        timeout_seconds: how long a receiver has for an answer.
        batch: bounds of a batch, for that format only.
        retry: how often and how long an event is tried.
        auth: how the gateway proves who is calling; requests prove nothing of the kind when empty.
        handshake: ``cloudevents`` asks the receiver for its permission before the first event.
        signing: ``v1`` signs with a shared secret as Standard Webhooks does.
    """

    type: Literal["webhook"]
    url: Url
    format: Literal["binary", "structured", "batch"] = "binary"
    order: Order = "key"
    max_in_flight: int = Field(64, ge=1, le=1_000)
    rate_per_second: float | None = Field(None, ge=0.01, le=10_000)
    timeout_seconds: float = Field(15.0, ge=1, le=120)
    batch: Batch | None = None
    retry: Retry = Retry()
    auth: Auth | None = None
    handshake: Annotated[Literal["none", "cloudevents"], AfterValidator(_handshake)] = "none"
    signing: Literal["v1", "none"] = "v1"

    @model_validator(mode="after")
    def _has_batch_for_batches(self) -> Self:
        if self.batch is not None and self.format != "batch":
            raise expected("expected no batch unless the format is batch")
        return self

    @property
    def max_deliveries(self) -> None:
        """No number of hand-outs gives an event up: its policy does."""
        return None

    @property
    def lease_seconds(self) -> float:
        """Longer than any attempt takes: an event whose lease ended would be sent a second time meanwhile.

        Before its own time an attempt waits up to as long for a connection, and the margin is for a schema and an
        access token.
        """
        return 2 * self.timeout_seconds + _LEASE_MARGIN_SECONDS

    @property
    def request(self) -> Batch:
        """Bounds of a request; those of a single event for the other formats."""
        return (self.batch or Batch()) if self.format == "batch" else _SINGLE

    def completed(self, before: object) -> "WebhookDelivery":
        """With the secrets that are stored, where its owner has left them out as they are left out when it is shown.

        They are taken over for the same URL and kind of proof only. Otherwise whoever may change a subscription could
        have a secret that was never shown sent to a place of their own.

        Args:
            before: the delivery that is stored, None without any.

        Raises:
            InvalidSubscription: a secret is neither here nor stored.
        """
        if self.auth is None:
            return self
        stored = before.auth if isinstance(before, WebhookDelivery) and before.url == self.url else None
        auth = self.auth.completed(stored)
        faults = [Fault(f"/delivery/auth{fault.pointer}", fault.detail) for fault in auth.missing()]
        if faults:
            raise InvalidSubscription(f"{InvalidSubscription.title}: it lacks secrets.", faults)
        return self.model_copy(update={"auth": auth})
