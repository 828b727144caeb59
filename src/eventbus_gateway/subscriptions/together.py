"""The JSON text of many events at once, put together column by column.

Nearly all events of a receive or of a batch have the same headers in the same order, and what is asked of each can be
asked of a whole column. That takes 1.7 µs an event where one after the other takes 2.4 µs.
"""

from collections.abc import Callable, Sequence
from itertools import chain, repeat
from typing import Any

import orjson

from eventbus_gateway.errors import CorruptRecord
from eventbus_gateway.kafka.consumed import Consumed
from eventbus_gateway.runs import are_alike, runs
from eventbus_gateway.subscriptions.forms import NotDecoded, SchemaNeeded
from eventbus_gateway.subscriptions.layouts import are_plain
from eventbus_gateway.subscriptions.outgoing import Outgoing

_MANY = 5
"""Fewer events take less one after the other: columns cost something before there is the first text."""

Columns = Sequence[Sequence[Any]]


def records_of(events: Sequence[Any]) -> Sequence[Consumed]:
    """The record of each event.

    Args:
        events: what a window holds of records; see ``window.Held``.
    """
    # Nearly all are records themselves, and to ask each takes three times as long as to look at the kinds.
    return events if set(map(type, events)) == {Consumed} else [event.payload for event in events]


def texts(
    outgoing_of: Callable[[str], Outgoing], records: Sequence[Consumed], tail: bytes, columns: Columns = ()
) -> Sequence[bytes | None]:
    """The text of each event, None where ``Outgoing.text`` gives none.

    Args:
        outgoing_of: what makes events of a topic's records, by its name.
        records: one at the least.
        tail: what follows the data, to the end of the text, with a place for something of each column.
        columns: what is filled in there, each with something for every event.
    """
    if len(records) < _MANY:
        return _one_by_one(outgoing_of, records, tail, columns)
    filled = _filled_in(outgoing_of(records[0].topic), records, tail, columns)
    if filled is not None:
        return filled
    alike = [run for _, run in runs([(record.topic, record.names) for record in records])]
    if len(alike) == 1:
        return _one_by_one(outgoing_of, records, tail, columns)
    found: list[bytes | None] = []
    for run in alike:
        found += texts(outgoing_of, records[run], tail, [column[run] for column in columns])
    return found


def _one_by_one(
    outgoing_of: Callable[[str], Outgoing], records: Sequence[Consumed], tail: bytes, columns: Columns
) -> Sequence[bytes | None]:
    rows = zip(*columns, strict=True) if columns else repeat((), len(records))
    return [outgoing_of(record.topic).text(record, tail % row) for record, row in zip(records, rows, strict=True)]


def _filled_in(
    outgoing: Outgoing, records: Sequence[Consumed], tail: bytes, columns: Columns
) -> Sequence[bytes] | None:
    """The texts of events that are all alike, None where they are not or one of them is more than filling in."""
    offsets, _, keys, _, topics, partitions, values, names, stored = zip(*records, strict=True)
    if not (are_alike(topics) and are_alike(names)) or topics[0] != outgoing.layouts.topic or not all(values):
        return None
    layout = outgoing.layouts.of(names[0])
    if layout is None or not layout.is_whole:
        return None
    attributes: list[Any] = list(zip(*stored, strict=True))
    told = (None,) if layout.content_type is None else attributes[layout.content_type]
    chosen, keyed = list(map(_once, layout.choose(attributes))), [_once(keys)] if any(keys) else []
    if not are_alike(told) or (keyed and not all(keys)) or not are_plain(tuple(chain(*chosen, *keyed))):
        return None
    try:
        data = outgoing.data_texts(values, is_avro=outgoing.form.is_stored_avro(told[0]))
    except (SchemaNeeded, CorruptRecord, NotDecoded, orjson.JSONDecodeError):
        return None
    text = (layout.keyed if keyed else layout.keyless) + b"%b" + tail
    return filled_in(text, (*chosen, _once(partitions), offsets, *keyed, data, *map(_once, columns)))


def filled_in(text: bytes, columns: Columns) -> list[bytes]:
    """A text for each row. What all rows have alike is filled in once, which saves a quarter of the time.

    Args:
        text: with a place for something of each column; no other percent sign.
        columns: each with something for every row, or with the one thing that all have; not all of them so.
    """
    first, *others = text.split(b"%")
    pieces, different = [first], []
    for rest, column in zip(others, columns, strict=True):
        place, literal = b"%" + rest[:1], rest[1:]
        if len(column) == 1:
            pieces += ((place % column[0]).replace(b"%", b"%%"), literal)
        else:
            pieces += (place, literal)
            different.append(column)
    return list(map(b"".join(pieces).__mod__, zip(*different, strict=True)))


def _once(column: Sequence[Any]) -> Sequence[Any]:
    """A column, of which one value is left where it has no other."""
    return column[:1] if are_alike(column) else column
