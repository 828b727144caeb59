"""Numbers in as few bytes as they need (protobuf.dev, "Base 128 Varints")."""


def varint(number: int) -> bytes:
    """Seven bits in each byte, the lowest first; the eighth says that more follow.

    Args:
        number: not negative.
    """
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
