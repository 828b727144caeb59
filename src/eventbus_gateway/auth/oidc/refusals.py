"""What callers are told about a token that is refused: fixed sentences, so that none can quote it."""

from enum import Enum

from eventbus_gateway.errors import Unauthenticated


class Refusal(Enum):
    """Why a token is refused."""

    TOO_LONG = "The token is too long."
    FORM = "The token is not a signed JWT in compact form."
    HEADER = "The token's header is not valid."
    TYPE = "The token is not of a type that is accepted here."
    CRITICAL = "The token's header has critical extensions, which are not supported."
    KEY_IN_HEADER = "The token's header brings its own key, which is not accepted."
    ALGORITHM = "The token is signed with an algorithm that is not accepted for its issuer."
    CLAIMS = "The token's claims are not valid."
    ISSUER = "The token's issuer is not accepted."
    UNKNOWN_KEY = "The token is signed with a key that its issuer does not publish."
    SIGNATURE = "The token's signature is not valid."
    NO_EXPIRY = "The token does not say when it expires."
    EXPIRED = "The token has expired."
    NOT_YET = "The token is not valid yet."
    ISSUED_LATER = "The token was issued in the future."
    AUDIENCE = "The token is for another audience."
    SCOPE = "The token lacks a scope that is required."
    PRINCIPAL = "The token's claim for the principal is missing, or cannot be a principal's name."


def refuse(why: Refusal) -> Unauthenticated:
    """The error for a token that is refused; its cause must not be chained, since that could quote the token."""
    return Unauthenticated(why.value)
