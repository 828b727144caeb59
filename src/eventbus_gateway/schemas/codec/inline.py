"""Python text that encodes the leaves which need no call of their own.

Each function appends lines that check the value in a variable, and gives the names of the bytes that it is made of.
"""

import struct
from datetime import datetime
from typing import Any

from eventbus_gateway.schemas.codec import times, wire
from eventbus_gateway.schemas.codec.schema import Leaf
from eventbus_gateway.schemas.codec.source import Source
from eventbus_gateway.schemas.codec.wire import Misfit

BOUND: dict[str, Any] = {
    "join": b"".join,
    "Misfit": Misfit,
    "HEX_FORM": wire.HEX_FORM,
    "LENGTHS": wire.lengths(b""),
    "SMALL": wire.SMALL,
    "long_bytes": wire.long_bytes,
    "int_bytes": wire.int_bytes,
    "EPOCH": times.EPOCH,
    "moment": datetime.fromisoformat,
    "pack_double": struct.Struct("<d").pack,
    "pack_float": struct.Struct("<f").pack,
}
"""What the text refers to by a fixed name."""

RANGES = {"int": (wire.INT_MIN, wire.INT_MAX), "long": (wire.LONG_MIN, wire.LONG_MAX)}
"""The smallest and the largest value of each integer type."""

_LARGEST = {"float": wire.FLOAT_MAX, "double": wire.DOUBLE_MAX}


def written(source: Source, leaf: Leaf, x: str, lead: bytes, indent: int) -> list[str]:
    """Code for a leaf that is in line.

    Args:
        source: where it is written.
        leaf: the type.
        x: the variable that has the value.
        lead: constant bytes in front of it.
        indent: level of indentation.
    """
    if leaf.form:
        return _formed(source, leaf, x, lead, indent)
    if leaf.per_second:
        return _moment(source, leaf, x, lead, indent)
    if leaf.kind == "string":
        return string(source, x, lead, indent)
    if leaf.kind in ("null", "boolean", "enum"):
        return _listed(source, leaf, x, lead, indent)
    return _number(source, leaf, x, lead, indent)


def string(source: Source, x: str, lead: bytes, indent: int) -> list[str]:
    """Code for any string; the arguments are those of :func:`written`."""
    e, h = source.fresh("e"), source.fresh("h")
    table = source.bind("L", wire.lengths(lead)) if lead else "LENGTHS"
    spelled = f"{source.constant(lead)} + long_bytes(len({e}))" if lead else f"long_bytes(len({e}))"
    source.line(indent, f"{e} = {x}.encode()")
    # Entering a try costs nothing, a comparison in front of each look-up would.
    source.line(indent, f"try: {h} = {table}[len({e})]")
    source.line(indent, f"except IndexError: {h} = {spelled}")
    return [h, e]


def _formed(source: Source, leaf: Leaf, x: str, lead: bytes, indent: int) -> list[str]:
    """Strings of one form and length, such as UUIDs."""
    e = source.fresh("e")
    source.line(indent, f"{e} = {x}.encode()")
    source.line(indent, f"if {e}.translate(HEX_FORM) != {source.constant(leaf.form)}: raise Misfit")
    return [source.constant(lead + wire.long_bytes(len(leaf.form))), e]


def _moment(source: Source, leaf: Leaf, x: str, lead: bytes, indent: int) -> list[str]:
    """Timestamps; those of whole seconds in UTC need no call of ours but for their bytes."""
    t, v = source.fresh("t"), source.fresh("v")
    # With dashes, T, colons and Z in these places, fromisoformat has only one form left to accept.
    source.line(indent, f'if {x}.__class__ is str and {x}[4::3] == "--T::Z" and len({x}) == 20:')
    source.line(indent + 1, f"{t} = moment({x}) - EPOCH")
    source.line(indent + 1, f"{v} = long_bytes(({t}.days * 86400 + {t}.seconds) * {leaf.per_second})")
    source.line(indent, f"else: {v} = {source.bind('P', leaf.pack)}({x})")
    return ([source.constant(lead)] if lead else []) + [v]


def _listed(source: Source, leaf: Leaf, x: str, lead: bytes, indent: int) -> list[str]:
    """Types whose every value is known: the value looks up its bytes."""
    v = source.fresh("v")
    if leaf.kind == "enum":
        wired = {symbol: lead + wire.long_bytes(index) for index, symbol in enumerate(leaf.symbols)}
        source.line(indent, f"{v} = {source.bind('E', wired)}[{x}]")
    elif leaf.kind == "boolean":
        false, true = source.constant(lead + b"\x00"), source.constant(lead + b"\x01")
        source.line(indent, f"{v} = {true} if {x} is True else {false} if {x} is False else None")
        source.line(indent, f"if {v} is None: raise Misfit")
    else:
        source.line(indent, f"if {x} is not None: raise Misfit")
        return [source.constant(lead)] if lead else []
    return [v]


def _number(source: Source, leaf: Leaf, x: str, lead: bytes, indent: int) -> list[str]:
    v = source.fresh("v")
    if leaf.kind in RANGES:
        source.line(indent, f"if {x}.__class__ is not int: raise Misfit")
        source.line(indent, f"try: {v} = SMALL[{x}]")
        source.line(indent, f"except KeyError: {v} = {leaf.kind}_bytes({x})")
        return ([source.constant(lead)] if lead else []) + [v]
    largest = _LARGEST[leaf.kind]
    source.line(indent, f"if {x}.__class__ is float and {-largest!r} <= {x} <= {largest!r}:")
    source.line(indent + 1, f"{v} = pack_{leaf.kind}({x})")
    source.line(indent, f"else: {v} = {source.bind('P', leaf.pack)}({x})")
    return ([source.constant(lead)] if lead else []) + [v]
