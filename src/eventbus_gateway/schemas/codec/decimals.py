"""Decimals between text and the two's complement that Avro stores.

Values are never rounded. JSON numbers with a fraction are not accepted: by the time they arrive here, parsing has
already turned them into binary floating point. Source: Avro specification 1.12, "Decimal", "Big Decimal".
"""

import re

from eventbus_gateway.schemas.codec.wire import Damage, long_bytes, read_int, read_long

MAX_DIGITS = 4000
"""Digits of any decimal; converting digits to binary is quadratic, and Python refuses it beyond 4300."""
_MAX_BYTES = 1700

_DECIMAL = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?")


def _parts(value: str | int) -> tuple[str, str, str] | None:
    if isinstance(value, int):
        if value.bit_length() > 8 * _MAX_BYTES:
            return None
        value = str(value)
    found = _DECIMAL.fullmatch(value) if len(value) <= MAX_DIGITS + 3 else None
    return (found[1], found[2], found[3] or "") if found else None


def unscaled(value: str | int, precision: int, scale: int) -> int | None:
    """The integer that stands for a decimal; None where it is none, or does not fit precision and scale exactly."""
    if scale and isinstance(value, str) and scale + 1 < len(value) <= precision + 1 and value[-scale - 1] == ".":
        # Most decimals are written with exactly their scale and without a sign.
        digits = value[: -scale - 1] + value[-scale:]
        if digits.isdecimal() and digits.isascii() and (digits[0] != "0" or len(digits) == scale + 1):
            return int(digits)
    parts = _parts(value)
    if parts is None:
        return None
    sign, whole, fraction = parts
    if len(fraction) > scale:
        if fraction[scale:].strip("0"):
            return None
        fraction = fraction[:scale]
    digits = (whole + fraction.ljust(scale, "0")).lstrip("0")
    if len(digits) > precision:
        return None
    return int(sign + (digits or "0"))


def minimal(number: int) -> bytes:
    """Two's complement in as few bytes as possible."""
    if number >= 0:
        return number.to_bytes((number.bit_length() >> 3) + 1, "big")
    return number.to_bytes((~number).bit_length() // 8 + 1, "big", signed=True)


def _text(number: int, scale: int) -> str:
    digits = str(abs(number)).rjust(scale + 1, "0")
    whole = digits[: len(digits) - scale]
    return ("-" if number < 0 else "") + (f"{whole}.{digits[len(whole) :]}" if scale else whole)


def text_of(raw: bytes, precision: int, scale: int) -> str:
    """The text of a decimal.

    Raises:
        Damage: it has more digits than its precision allows.
    """
    number = int.from_bytes(raw, "big", signed=True)
    if abs(number) >= 10**precision:
        raise Damage("a decimal has more digits than its precision")
    return _text(number, scale)


def big_of(value: str | int) -> bytes | None:
    """The content of a big-decimal: unscaled bytes with their length, then the scale; None where it is no decimal."""
    parts = _parts(value)
    if parts is None:
        return None
    sign, whole, fraction = parts
    if len(fraction) >= MAX_DIGITS or len((whole + fraction).lstrip("0")) > MAX_DIGITS:
        return None
    raw = minimal(int(sign + whole + fraction))
    return long_bytes(len(raw)) + raw + long_bytes(len(fraction))


def big_text(content: bytes) -> str:
    """The text of a big-decimal's content.

    Raises:
        Damage: it is not a big-decimal, or one of more than ``MAX_DIGITS`` digits.
    """
    try:
        length, start = read_long(content, 0)
        end = start + length
        if length < 0 or end > len(content):
            raise Damage("a big-decimal is cut short")
        scale, position = read_int(content, end)
    except IndexError:
        raise Damage("a big-decimal is cut short") from None
    if position != len(content):
        raise Damage("bytes follow a big-decimal")
    if length > _MAX_BYTES or abs(scale) >= MAX_DIGITS:
        raise Damage(f"a big-decimal has more than {MAX_DIGITS} digits")
    number = int.from_bytes(content[start:end], "big", signed=True)
    if scale < 0:
        number, scale = number * 10**-scale, 0
    if abs(number) >= 10**MAX_DIGITS:
        raise Damage(f"a big-decimal has more than {MAX_DIGITS} digits")
    return _text(number, scale)
