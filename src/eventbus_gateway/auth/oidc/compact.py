"""A token taken apart, before anything in it is believed."""

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from eventbus_gateway.auth.oidc.refusals import Refusal, refuse
from eventbus_gateway.base64_text import url_decoded

_MAX_HEADER_BYTES = 2_048
MAX_KID_CHARACTERS = 256
# RFC 7519 section 5.1 and RFC 9068 section 2.1. Others, such as logout tokens, are no access tokens.
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
_KEYS_IN_HEADER = frozenset({"jwk", "jku", "x5c", "x5u"})
# RFC 7515 section 4.1.11; b64 means something only together with crit (RFC 7797 section 6).
_CRITICAL = frozenset({"crit", "b64"})


@dataclass(frozen=True, slots=True, repr=False)
class Presented:
    """What a token says, and what is signed.

    Args:
        algorithm: ``alg`` of its header.
        kid: ``kid`` of its header.
        claims: its claims.
        signed: the bytes that the signature is for.
        signature: the signature.
    """

    algorithm: str
    kid: str
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def presented(token: bytes) -> Presented:
    """Take apart a JWS in compact serialization (RFC 7515 section 7.1), within limits that the caller has checked.

    Args:
        token: the token, of bounded length.

    Raises:
        Unauthenticated: it is not one, or its header has what no accepted token has.
    """
    parts = token.split(b".", 3)
    if len(parts) != 3 or len(parts[0]) > _MAX_HEADER_BYTES:
        raise refuse(Refusal.FORM)
    try:
        header_text, claims_text, signature = map(_decoded, parts)
    except ValueError:
        raise refuse(Refusal.FORM) from None
    algorithm, kid = _header(header_text)
    try:
        claims = json_object(claims_text)
    except ValueError:
        raise refuse(Refusal.CLAIMS) from None
    return Presented(algorithm, kid, claims, token[: -len(parts[2]) - 1], signature)


def json_object(text: bytes) -> dict[str, Any]:
    """A JSON object in which no name comes twice: which of the values counts would be a matter of taste.

    Args:
        text: UTF-8, of bounded length.

    Raises:
        ValueError: it is none.
    """
    try:
        found = json.loads(text.decode(), object_pairs_hook=_members, parse_constant=_not_json)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of error for all who call
    return found


def _header(text: bytes) -> tuple[str, str]:
    try:
        header = json_object(text)
    except ValueError:
        raise refuse(Refusal.HEADER) from None
    if not _CRITICAL.isdisjoint(header):
        raise refuse(Refusal.CRITICAL)
    if not _KEYS_IN_HEADER.isdisjoint(header):
        raise refuse(Refusal.KEY_IN_HEADER)
    kind = header.get("typ", "jwt")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise refuse(Refusal.TYPE)
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_CHARACTERS:
        raise refuse(Refusal.HEADER)
    return algorithm, kid


def _decoded(part: bytes) -> bytes:
    """The bytes of a part (RFC 7515 section 2), which have this one text only, or a signature would have many."""
    data = url_decoded(part.decode("latin-1"))
    if not data:
        raise ValueError("not base64url, or nothing")
    return data


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name comes twice")
    return members


def _not_json(_: str) -> NoReturn:
    raise ValueError("not a JSON number")
