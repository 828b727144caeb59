"""Handed-out events as JSON."""

import asyncio
from collections.abc import Callable, Sequence

import orjson

from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.subscriptions import tokens
from eventbus_gateway.subscriptions.leased import Leased
from eventbus_gateway.subscriptions.outgoing import Outgoing
from eventbus_gateway.subscriptions.turns import Turn


async def rendered(
    leased: Sequence[Leased[Consumed]], outgoing_of: Callable[[str], Outgoing], events: list[bytes]
) -> None:
    """Append the JSON text of each event, with its ``ackToken`` and ``deliveryCount``.

    Args:
        leased: the hand-outs.
        outgoing_of: what makes events of a topic's records, by its name.
        events: where they go; what is there when an error comes is complete.

    Raises:
        RegistryUnavailable, Overloaded, ShuttingDown: a schema cannot be fetched now.
    """
    outgoings: dict[str, Outgoing] = {}
    turn = Turn()
    origin, start = None, b""
    ends = tokens.ends([(each.event.offset, each.delivery_count) for each in leased])
    for each, end in zip(leased, ends, strict=True):
        record = each.event.payload
        outgoing = outgoings.get(record.topic)
        if outgoing is None:
            outgoing = outgoings[record.topic] = outgoing_of(record.topic)
        if each.origin is not origin:
            origin = each.origin
            start = b',"ackToken":"%b' % origin.prefix.encode("ascii")
        tail = (start, end, b'","deliveryCount":%d}' % each.delivery_count)
        text = outgoing.text(record, tail)
        if text is None:
            event = outgoing.event(record) or await outgoing.complete(record)
            text = b"".join((orjson.dumps(event)[:-1], *tail))
        events.append(text)
        if turn.is_over_after(each.event.size):
            await asyncio.sleep(0)
