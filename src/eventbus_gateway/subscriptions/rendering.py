"""Handed-out events as JSON."""

import asyncio
from collections.abc import Callable, Sequence

import orjson

from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.subscriptions import together, tokens
from eventbus_gateway.subscriptions.leased import Leased
from eventbus_gateway.subscriptions.outgoing import Outgoing
from eventbus_gateway.subscriptions.turns import in_turns

_TAIL = b',"ackToken":"%b%b","deliveryCount":%d}'


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
    if not leased:
        return
    records, counts = together.records_of(leased), [each.delivery_count for each in leased]
    starts = [each.origin.prefix for each in leased]
    ends = tokens.ends([each.event.offset for each in leased], counts)
    for turn in in_turns([record.size for record in records]):
        if turn.start:
            await asyncio.sleep(0)
        columns = (starts[turn], ends[turn], counts[turn])
        texts = together.texts(outgoing_of, records[turn], _TAIL, columns)
        for place, text in enumerate(texts, turn.start):
            if text is not None:
                events.append(text)
                continue
            record = records[place]
            outgoing = outgoing_of(record.topic)
            event = outgoing.event(record) or await outgoing.complete(record)
            events.append(orjson.dumps(event)[:-1] + _TAIL % (starts[place], ends[place], counts[place]))
