"""From leased events to the request that delivers them."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import orjson

from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.subscriptions import together
from eventbus_gateway.subscriptions.leased import Leased
from eventbus_gateway.subscriptions.outgoing import Outgoing
from eventbus_gateway.subscriptions.webhook_spec import WebhookDelivery
from eventbus_gateway.webhooks.batches import fitting
from eventbus_gateway.webhooks.messages import Message, batch, binary, structured
from eventbus_gateway.webhooks.outbound import Outbound
from eventbus_gateway.webhooks.rotating import RotatingSigner
from eventbus_gateway.webhooks.signing import ID_HEADER, TIMESTAMP_HEADER

_END = b"}"
_NAME_BYTES = 6
_PLACES_BYTES = 12

OutgoingOf = Callable[[str], Outgoing]
"""What makes events of a topic's records, by its name."""


class Made(NamedTuple):
    """What delivers events.

    Args:
        message: what is sent.
        ids: the id of each event in it; fewer than there were where the others did not fit.
    """

    message: Message
    ids: Sequence[str]


class Requests:
    """Makes the requests of one subscription.

    Args:
        subscription_id: id of the subscription.
        outgoing_of: what makes events.
        now: seconds since the epoch.
    """

    def __init__(self, subscription_id: str, outgoing_of: OutgoingOf, now: Callable[[], float] = time.time) -> None:
        self._subscription_id = subscription_id
        self._outgoing_of = outgoing_of
        self._now = now
        # At most the topics of a subscription.
        self._topics: dict[str, str] = {}

    async def make(self, leased: Sequence[Leased[Consumed]], delivery: WebhookDelivery) -> Made:
        """What delivers events.

        Args:
            leased: in their order; one, unless the format is ``batch``.
            delivery: what the owner of the subscription says.

        Raises:
            RegistryUnavailable, Overloaded, ShuttingDown: a schema cannot be fetched now.
        """
        if delivery.format == "binary":
            record = leased[0].event.payload
            outgoing = self._outgoing_of(record.topic)
            event = outgoing.event(record) or await outgoing.complete(record)
            return Made(binary(event, record.value), [str(event["id"])])
        texts, ids = await self._texts(leased)
        if delivery.format == "structured":
            return Made(structured(texts[0]), ids)
        fit = fitting(map(len, texts), delivery.request.max_events, delivery.request.max_bytes)
        return Made(batch(texts[:fit]), ids[:fit])

    def outbound(
        self,
        leased: Sequence[Leased[Consumed]],
        message: Message,
        delivery: WebhookDelivery,
        signer: RotatingSigner | None,
        proof: Mapping[str, str],
    ) -> Outbound:
        """The request as it is sent at this moment.

        Args:
            leased: the events in it.
            message: what it carries.
            delivery: what the owner of the subscription says.
            signer: signs it, where that is wanted.
            proof: headers that prove who sends it.
        """
        message_id = self.message_id(leased)
        return addressed(message, message_id, self._subscription_id, delivery, signer, proof, int(self._now()))

    def message_id(self, leased: Sequence[Leased[Consumed]]) -> str:
        """What stays the same over all attempts, whoever makes them: the place of the event, or of all of them.

        A batch that is tried again can begin with the same event and have as many, and yet have other ones behind it.
        A receiver that leaves out what it knows would never get those.
        """
        first = self._place(leased[0])
        if len(leased) == 1:
            return first
        # By runs of one partition: batches have few of them.
        places = [
            (origin.topic, origin.partition, [each.event.offset for each in run])
            for origin, run in groupby(leased, attrgetter("origin"))
        ]
        return f"{first}-{blake2b(repr(places).encode(), digest_size=_PLACES_BYTES).hexdigest()}"

    async def _texts(self, leased: Sequence[Leased[Consumed]]) -> tuple[list[bytes], list[str]]:
        """Events as JSON, and their ids."""
        records = together.records_of([each.event for each in leased])
        # To look a topic up takes as long for each event as to begin its text.
        outgoing_of = cache(self._outgoing_of)
        texts, ids = list[bytes](), list[str]()
        for record, text in zip(records, together.texts(outgoing_of, records, _END), strict=True):
            outgoing = outgoing_of(record.topic)
            if text is not None:
                texts.append(text)
                ids.append(outgoing.layouts.id_of(record))
            else:
                event = outgoing.event(record) or await outgoing.complete(record)
                texts.append(orjson.dumps(event))
                ids.append(str(event["id"]))
        return texts, ids

    def _place(self, leased: Leased[Consumed]) -> str:
        origin = leased.origin
        topic = self._topics.get(origin.topic)
        if topic is None:
            # The name may have dots, which an id may not.
            topic = self._topics[origin.topic] = blake2b(origin.topic.encode(), digest_size=_NAME_BYTES).hexdigest()
        return f"{self._subscription_id}-{topic}-{origin.partition}-{leased.event.offset}"


def addressed(
    message: Message,
    message_id: str,
    endpoint: str,
    delivery: WebhookDelivery,
    signer: RotatingSigner | None,
    proof: Mapping[str, str],
    timestamp: int,
) -> Outbound:
    """A message on its way to the receiver of a subscription.

    Args:
        message: what is sent.
        message_id: value of ``webhook-id``.
        endpoint: whose connections it takes.
        delivery: what the owner of the subscription says.
        signer: signs it, where that is wanted.
        proof: headers that prove who sends it.
        timestamp: seconds since the epoch.
    """
    headers = {**message.headers, **proof}
    if signer is not None:
        headers |= signer.headers(message_id, timestamp, message.body)
    else:
        headers[ID_HEADER], headers[TIMESTAMP_HEADER] = message_id, str(timestamp)
    return Outbound(delivery.url, headers, message.body, delivery.timeout_seconds, endpoint)
