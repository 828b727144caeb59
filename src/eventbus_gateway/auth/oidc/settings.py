"""The ``[[auth.oidc]]`` tables of the configuration."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from eventbus_gateway.section import Section

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
]
"""Signatures that a public key verifies (RFC 7518 section 3.1, RFC 8037, RFC 9864). With HMAC whoever verifies could
sign, and a public key could be taken for its secret."""

# A member's name, or an RFC 6901 pointer to a nested one.
ClaimPath = Annotated[str, StringConstraints(pattern=r"^([^/].*|(/([^/~]|~[01])+)+)$", min_length=1, max_length=256)]
Audience = Annotated[str, StringConstraints(min_length=1, max_length=512)]
# RFC 6749 section 3.3
Scope = Annotated[str, StringConstraints(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,256}$")]


class OidcRoleSettings(Section):
    """A role for callers whose token has a claim with a value."""

    claim: ClaimPath
    """Name of the claim, or an RFC 6901 pointer such as ``/realm_access/roles``. A string or an array of strings;
    ``scope`` and ``scp`` are split at spaces."""
    value: str = Field(min_length=1, max_length=256)
    """The value that the claim has to have, or to hold among others."""
    role: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """The role that the caller gets."""


class OidcIssuerSettings(Section):
    """An issuer whose tokens are accepted."""

    prefix: str = Field(pattern=r"^[A-Za-z0-9_-]{1,24}$")
    """What the names of its principals begin with, before a dot: ``corp`` makes ``corp.<claim>``. Each issuer has its
    own, and no API key stands for a principal whose name begins like that."""
    issuer: str = Field(min_length=8, max_length=512)
    """The issuer's URL, exactly as in the ``iss`` claim of its tokens."""
    audiences: tuple[Audience, ...] = Field(min_length=1, max_length=32)
    """Values of which a token's ``aud`` has to have one."""
    audience_claim: ClaimPath = "aud"
    """The claim that has them where the issuer leaves out ``aud``, as Amazon Cognito does with ``client_id``; an
    ``aud`` that is there counts all the same."""
    algorithms: tuple[Algorithm, ...] = Field(("RS256", "ES256"), min_length=1, max_length=11)
    """Algorithms of signatures that are accepted."""
    jwks_url: str | None = Field(None, max_length=1_024)
    """Where the issuer's keys are; found at ``<issuer>/.well-known/openid-configuration`` when empty."""
    allow_http: bool = False
    """Fetch keys without TLS: whoever can change what comes can let everybody in. For development only."""
    ca_file: str | None = None
    """PEM file with the authorities that sign the certificate of the issuer; the system's when empty."""
    principal_claim: ClaimPath = "sub"
    """The claim that names the principal, or an RFC 6901 pointer to it: letters, digits, ``.``, ``_`` and ``-``, with
    the prefix at most 64 characters. It must be one that callers cannot choose."""
    roles: tuple[OidcRoleSettings, ...] = Field((), max_length=256)
    """Which claims give which roles."""
    required_scopes: tuple[Scope, ...] = Field((), max_length=32)
    """Scopes that a token has to have, all of them, in ``scope`` or ``scp``."""
    clock_skew_seconds: float = Field(60.0, ge=0, le=300)
    """How far the issuer's clock may be from the gateway's."""
    max_token_bytes: int = Field(8_192, ge=512, le=65_536)
    """Longest token that is looked at."""
    max_tokens: int = Field(10_000, ge=1, le=1_000_000)
    """Verified tokens that are remembered; the one unused for longest goes first."""
    refresh_seconds: float = Field(300.0, ge=10, le=86_400)
    """After this time the keys are fetched again, in the background."""
    min_refresh_seconds: float = Field(10.0, ge=1, le=600)
    """Least time between two fetches, also for tokens with unknown keys and after a failure."""
    max_key_age_seconds: float = Field(86_400.0, ge=60, le=2_592_000)
    """How long keys count when they cannot be fetched again; then tokens are answered with 503."""
    max_keys: int = Field(64, ge=1, le=1_024)
    """Keys that an issuer may publish; an answer with more is not used."""
    max_waiting: int = Field(256, ge=1, le=65_536)
    """Requests that wait for keys to be fetched; further ones are answered with 503."""
    connect_timeout_seconds: float = Field(2.0, gt=0, le=60)
    """How long connecting may take."""
    timeout_seconds: float = Field(5.0, gt=0, le=60)
    """How long fetching may take as a whole, discovery included."""
    max_response_bytes: int = Field(262_144, ge=1_024, le=4_194_304)
    """Largest answer that is read."""


def is_reserved(principal: str, issuers: Iterable[OidcIssuerSettings]) -> bool:
    """Whether only tokens of an issuer may stand for a principal: no other credential may carry its name.

    Args:
        principal: name of a principal.
        issuers: the issuers that are configured.
    """
    start, dot, _ = principal.partition(".")
    return bool(dot) and any(start == issuer.prefix for issuer in issuers)
