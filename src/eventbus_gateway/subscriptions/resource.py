"""A subscription as all replicas know it."""

import secrets
from collections.abc import Mapping
from typing import Any, Literal

import orjson
from pydantic import BaseModel, Field, ValidationError

from eventbus_gateway.subscriptions.bodies import Body
from eventbus_gateway.subscriptions.control import Control, PauseReason, Redrive, SeekTarget, Sought
from eventbus_gateway.subscriptions.instants import timestamp
from eventbus_gateway.subscriptions.names import dead_letter_topic_name, full_name, group_name, slot_of
from eventbus_gateway.subscriptions.signing_secrets import SigningSecret, fresh, rotated
from eventbus_gateway.subscriptions.spec import Spec
from eventbus_gateway.subscriptions.vault import Drawer, NoVault, Vault, legible
from eventbus_gateway.subscriptions.webhook_auth import REVEALED

_NO_VAULT = NoVault()
_FORMAT = 1
_ID_BYTES = 8


class Subscription(Body):
    """A durable interest of a principal in topics.

    Args:
        id: no other subscription ever has it, not even one of the same name after this one was deleted.
        owner: name of the principal; names of subscriptions are the owner's own.
        name: its name.
        spec: what its owner said.
        control: what was done with it.
        signing: what signs its webhooks, the newest first.
        created_at: milliseconds since the epoch.
        updated_at: milliseconds since the epoch.
    """

    id: str
    owner: str
    name: str
    spec: Spec
    control: Control = Control()
    signing: tuple[SigningSecret, ...] = Field((), strict=False)
    created_at: int
    updated_at: int

    @property
    def full_name(self) -> str:
        """Its name among those of all owners."""
        return full_name(self.owner, self.name)

    @property
    def dead_letter_topic(self) -> str:
        """Where its dead letters go."""
        return dead_letter_topic_name(self.owner, self.name)

    def group(self, prefix: str) -> str:
        """The consumer group of its present state."""
        return group_name(prefix, self.owner, self.name, self.id, self.control.group)

    def slots(self, slots: int) -> tuple[int, ...]:
        """The slot of each of its shards.

        Args:
            slots: how many there are.
        """
        return tuple(slot_of(self.id, shard, slots) for shard in range(self.spec.parallelism))


class _Stored(Body):
    format: Literal[1]
    subscription: Subscription


def created(owner: str, name: str, spec: Spec, now: int) -> Subscription:
    """A new subscription.

    Args:
        owner: name of the principal.
        name: its name.
        spec: what it shall be.
        now: milliseconds since the epoch.

    Raises:
        InvalidSubscription: a secret is missing.
    """
    identity, spec = _random(), spec.completed(None)
    control, signing = Control(), _signing(spec, ())
    return _made(
        id=identity,
        owner=owner,
        name=name,
        spec=spec,
        control=control,
        signing=signing,
        created_at=now,
        updated_at=now,
    )


def with_spec(subscription: Subscription, spec: Spec, now: int) -> Subscription:
    """The same subscription as its owner wants it now; in a new group where that gives it other positions.

    Raises:
        InvalidSubscription: a secret is neither said nor stored.
    """
    before = subscription.spec
    spec = spec.completed(before)
    if _text(spec) == _text(before):
        return subscription
    control = subscription.control
    # Partitions go to other shards, or a topic begins anew: whoever serves the former state must not commit into it.
    if spec.parallelism != before.parallelism or not set(spec.topics) <= set(before.topics):
        control = control.model_copy(update={"group": _random()})
    signing = _signing(spec, subscription.signing)
    return _changed(subscription, now, spec=spec, control=control, signing=signing)


def with_pause(subscription: Subscription, paused: bool, now: int, reason: PauseReason | None = None) -> Subscription:
    """The same subscription, paused or not.

    Args:
        subscription: the subscription.
        paused: whether nothing is handed out.
        now: milliseconds since the epoch.
        reason: why the gateway paused it; None where its owner did.
    """
    control = subscription.control
    if control.paused == paused:
        return subscription
    return _changed(subscription, now, control=control.model_copy(update={"paused": paused, "reason": reason}))


def with_rotation(subscription: Subscription, now: int, overlap_seconds: float) -> Subscription:
    """The same subscription with a new signing secret.

    Args:
        subscription: the subscription.
        now: milliseconds since the epoch.
        overlap_seconds: for how long the former one signs too.
    """
    return _changed(subscription, now, signing=rotated(subscription.signing, now, int(overlap_seconds * 1_000)))


def with_seek(subscription: Subscription, target: SeekTarget, now: int) -> Subscription:
    """The same subscription in a new group, whose positions the seek decides."""
    sought = Sought.model_construct(to=target.to, requested_at=now)
    control = subscription.control.model_copy(update={"group": _random(), "sought": sought})
    return _changed(subscription, now, control=control)


def with_redrive(
    subscription: Subscription, until: Mapping[int, int], now: int, wanted: dict[str, Any] | None = None
) -> Subscription:
    """The same subscription with one more redrive.

    Args:
        subscription: the subscription.
        until: offset by partition of its dead letter topic, exclusive.
        now: milliseconds since the epoch.
        wanted: event pattern of what comes back; None for all.
    """
    bounds = {str(partition): offset for partition, offset in until.items()}
    redrive = Redrive.model_construct(until=bounds, filter=wanted, requested_at=now)
    return _changed(subscription, now, control=subscription.control.model_copy(update={"redrive": redrive}))


def new_secret(after: Subscription, before: Subscription | None) -> str | None:
    """The signing secret that a change has made, None where it has made none.

    Args:
        after: the subscription now.
        before: as it was, None where there was none.
    """
    present = after.signing[0].secret if after.signing else None
    if present is None or (before is not None and before.signing and before.signing[0].secret == present):
        return None
    return legible(present)


def same_state(one: Subscription, other: Subscription) -> bool:
    """Whether what was handed out, and where reading stands, is the same for both versions of a subscription.

    Where not, its shards have to be opened anew. Pauses, redrives and limits of leases and deliveries do not matter,
    nor where and how a webhook is called.
    """
    return _state(one) == _state(other)


def _state(subscription: Subscription) -> tuple[object, ...]:
    spec = subscription.spec
    # As text: in Python true is 1, which a filter tells apart.
    wanted = orjson.dumps(spec.filter, option=orjson.OPT_SORT_KEYS)
    delivery = spec.delivery
    return (
        subscription.id,
        subscription.control.group,
        spec.topics,
        wanted,
        spec.parallelism,
        delivery.type,
        delivery.order,
    )


def shown(subscription: Subscription, group_prefix: str) -> dict[str, Any]:
    """A subscription as its owner sees it; can be rendered as JSON.

    Args:
        subscription: the subscription.
        group_prefix: of all consumer groups.
    """
    control = subscription.control
    sought, redrive = control.sought, control.redrive
    return {
        "name": subscription.name,
        "id": subscription.id,
        **subscription.spec.model_dump(mode="json", by_alias=True),
        "paused": control.paused,
        "pauseReason": control.reason,
        "lastSeek": sought and {"to": sought.to, "at": timestamp(sought.requested_at)},
        "lastRedrive": redrive and {"at": timestamp(redrive.requested_at), "filter": redrive.filter},
        "deadLetterTopic": subscription.dead_letter_topic,
        "consumerGroup": subscription.group(group_prefix),
        "createdAt": timestamp(subscription.created_at),
        "updatedAt": timestamp(subscription.updated_at),
    }


def to_bytes(subscription: Subscription, vault: Vault = _NO_VAULT) -> bytes:
    """A subscription as it is stored, its secrets sealed, and those as they were that could not be opened."""
    document = subscription.model_dump(mode="json", by_alias=True, context=Drawer(vault, subscription.id))
    return orjson.dumps({"format": _FORMAT, "subscription": document})


def from_bytes(value: bytes, vault: Vault = _NO_VAULT) -> Subscription | None:
    """A stored subscription, None for one that this version of the gateway does not understand.

    Secrets that cannot be opened stay sealed in it: it can still be seen, changed and deleted.
    """
    try:
        document = orjson.loads(value)
        identity = document["subscription"]["id"]
        return _Stored.model_validate(document, context=Drawer(vault, str(identity))).subscription
    except (orjson.JSONDecodeError, ValidationError, KeyError, TypeError):
        return None


def _signing(spec: Spec, before: tuple[SigningSecret, ...]) -> tuple[SigningSecret, ...]:
    """The secrets of a subscription with this spec: those there are, or a first one."""
    if spec.delivery.type != "webhook" or spec.delivery.signing == "none":
        return ()
    return before or (fresh(),)


def _random() -> str:
    return secrets.token_hex(_ID_BYTES)


def _text(body: BaseModel) -> bytes:
    return orjson.dumps(body.model_dump(mode="json", context=REVEALED), option=orjson.OPT_SORT_KEYS)


def _made(**fields: Any) -> Subscription:
    return Subscription.model_construct(**fields)


def _changed(subscription: Subscription, now: int, **fields: Any) -> Subscription:
    # A clock that goes back must not make it older.
    return subscription.model_copy(update={**fields, "updated_at": max(now, subscription.updated_at)})
