"""Base64 with one spelling: what is decoded and encoded again is the same text."""

from binascii import Error, a2b_base64, b2a_base64

_URL_SAFE = str.maketrans("+/", "-_")
_PLAIN = str.maketrans("-_", "+/")


def base64_text(raw: bytes) -> str:
    """Bytes as base64 (RFC 4648 section 4), as CloudEvents writes them."""
    return b2a_base64(raw, newline=False).decode("ascii")


def decoded(text: str) -> bytes | None:
    """The bytes that ``base64_text`` makes this text of, None where it would make it of none."""
    try:
        raw = a2b_base64(text, strict_mode=True)
    except (Error, ValueError):  # ValueError: not ASCII
        return None
    # Strict mode lets pass bits behind the last byte.
    return raw if base64_text(raw) == text else None


def url_encoded(raw: bytes) -> str:
    """Bytes as URL-safe base64 without padding (RFC 4648 section 5)."""
    return base64_text(raw).rstrip("=").translate(_URL_SAFE)


def url_decoded(text: str) -> bytes | None:
    """The bytes that ``url_encoded`` makes this text of, None where it would make it of none."""
    raw = decoded(text.translate(_PLAIN) + "=" * (-len(text) % 4))
    return raw if raw is not None and url_encoded(raw) == text else None
