"""What the issuers of tokens must fulfil, each for itself, together, and beside other credentials."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from eventbus_gateway.auth.oidc.settings import OidcIssuerSettings, is_reserved
from eventbus_gateway.auth.settings import AuthSettings
from eventbus_gateway.config.broken import Broken, broken
from eventbus_gateway.config.files import fault_of_file

_ISSUERS = "auth.oidc"


def oidc_faults(auth: AuthSettings) -> Iterator[Broken]:
    """Everything that is wrong with the issuers."""
    if "oidc" in auth.ways and not auth.oidc:
        yield broken("is empty, and auth.methods has oidc", _ISSUERS, "auth.mode", "auth.methods")
    elif "oidc" not in auth.ways and auth.oidc:
        yield broken("would not be used: auth.methods has no oidc", _ISSUERS, "auth.mode", "auth.methods")
    for name in ("prefix", "issuer"):
        yield from _twice(auth, name)
    for at, issuer in enumerate(auth.oidc):
        for name, sentence in _of_one(issuer):
            yield Broken(f"{_ISSUERS}[{at}].{name}", sentence, (_ISSUERS,))
    yield from _reserved(auth)


def configured_principals(auth: AuthSettings) -> Iterator[tuple[str, str, str]]:
    """Whom keys and certificates of the configuration stand for: the list, the place in it, and the name."""
    api_keys = [key.principal for key in auth.api_keys]
    certificates = [certificate.principal for certificate in auth.certificates]
    for key, principals in (("auth.api_keys", api_keys), ("auth.certificates", certificates)):
        for at, principal in enumerate(principals):
            yield key, f"{key}[{at}].principal", principal


def _twice(auth: AuthSettings, name: str) -> Iterator[Broken]:
    first: dict[str, int] = {}
    for at, issuer in enumerate(auth.oidc):
        other = first.setdefault(getattr(issuer, name), at)
        if other != at:
            yield Broken(f"{_ISSUERS}[{at}].{name}", f"is the same as of {_ISSUERS}[{other}]", (_ISSUERS,))


def _of_one(issuer: OidcIssuerSettings) -> Iterator[tuple[str, str]]:
    if not _is_web_address(issuer.issuer, with_query=False):
        yield "issuer", "must be http:// or https:// with a host, without user, query or fragment"
    elif issuer.jwks_url is None and not _may_be_fetched(issuer.issuer, issuer):
        yield "issuer", "must be https://, since keys are found there: set jwks_url, or allow_http for development"
    if issuer.jwks_url is not None:
        if not _is_web_address(issuer.jwks_url, with_query=True):
            yield "jwks_url", "must be https:// with a host, without user or fragment"
        elif not _may_be_fetched(issuer.jwks_url, issuer):
            yield "jwks_url", "must be https://, or set allow_http for development"
    if issuer.ca_file is not None and (fault := fault_of_file(issuer.ca_file, holds_certificates=True)):
        yield "ca_file", fault
    if issuer.max_key_age_seconds < issuer.refresh_seconds:
        yield "max_key_age_seconds", "must be at least refresh_seconds"
    if issuer.refresh_seconds < issuer.min_refresh_seconds:
        yield "refresh_seconds", "must be at least min_refresh_seconds"


def _is_web_address(text: str, *, with_query: bool) -> bool:
    try:
        url = urlsplit(text)
        url.port  # noqa: B018 - raises for a port that is none
    except ValueError:
        return False
    plain = not (url.fragment or "@" in url.netloc or re.search(r"[^\x21-\x7e]", text))
    return url.scheme in {"http", "https"} and bool(url.hostname) and plain and (with_query or not url.query)


def _may_be_fetched(text: str, issuer: OidcIssuerSettings) -> bool:
    return issuer.allow_http or urlsplit(text).scheme == "https"


def _reserved(auth: AuthSettings) -> Iterator[Broken]:
    """A key or certificate with the name of a token's principal would be taken for the same caller."""
    for key, place, principal in configured_principals(auth):
        if is_reserved(principal, auth.oidc):
            yield Broken(place, "must not begin with the prefix of an issuer in auth.oidc and a dot", (key, _ISSUERS))
