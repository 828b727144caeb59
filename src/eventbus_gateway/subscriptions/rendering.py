"""Handed-out events as JSON."""

import asyncio
from collections.abc import Callable

import orjson

from eventbus_gateway.subscriptions import together, tokens
from eventbus_gateway.subscriptions.leased import LeasedColumns
from eventbus_gateway.subscriptions.outgoing import Outgoing
from eventbus_gateway.subscriptions.turns import in_turns

_TAIL = b',"ackToken":"%b%b","deliveryCount":%d}'
_BEFORE_TOKEN = _TAIL.partition(b"%b")[0]
_AFTER_TOKEN = b'"'


async def rendered(hand_outs: LeasedColumns, outgoing_of: Callable[[str], Outgoing], events: list[bytes]) -> None:
    """Append the JSON text of each event, with its ``ackToken`` and ``deliveryCount``.

    Args:
        hand_outs: what is handed out.
        outgoing_of: what makes events of a topic's records, by its name.
        events: where they go; what is there when an error comes is complete.

    Raises:
        RegistryUnavailable, Overloaded, ShuttingDown: a schema cannot be fetched now.
    """
    starts, held, offsets, counts = hand_outs
    records, ends = together.records_of(held), tokens.ends(offsets, counts)
    for turn in in_turns([record.size for record in records]):
        if turn.start:
            await asyncio.sleep(0)
        columns = (starts[turn], ends[turn], counts[turn])
        texts = together.texts(outgoing_of, records[turn], _TAIL, columns)
        whole = list(filter(None, texts))
        if len(whole) == len(texts):
            events += whole
            continue
        for place, text in enumerate(texts, turn.start):
            if text is not None:
                events.append(text)
                continue
            record = records[place]
            outgoing = outgoing_of(record.topic)
            event = outgoing.event(record) or await outgoing.complete(record)
            events.append(orjson.dumps(event)[:-1] + _TAIL % (starts[place], ends[place], counts[place]))


def token_in(event: bytes) -> str:
    """The ``ackToken`` of an event, "" where there is none at its end.

    Args:
        event: as rendered here, or by another replica.
    """
    _, is_there, end = event.rpartition(_BEFORE_TOKEN)
    return end.partition(_AFTER_TOKEN)[0].decode("ascii", "replace") if is_there else ""
