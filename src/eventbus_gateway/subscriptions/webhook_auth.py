"""How the gateway proves to a webhook's receiver who is calling, with secrets that are written and never shown."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    SerializationInfo,
    ValidationInfo,
)

from eventbus_gateway.errors import EventError, Fault
from eventbus_gateway.subscriptions.bodies import Body, by_type, expected
from eventbus_gateway.subscriptions.spec_rules import rules_of
from eventbus_gateway.subscriptions.vault import Drawer, Sealed, legible

REVEALED = "revealed"
"""Context of a serialization that is compared and goes nowhere; one for the store has a ``Drawer``. Without either,
secrets are left out."""

_MOST_HEADERS = 16
_MOST_SECRET = 4_096
_MOST_URL = 2_048
# RFC 9110, section 5.6.2.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
# Narrower than RFC 3986, so that no two parsers can find different hosts in what fits.
_URL = re.compile(
    r"https?://(?:[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?](?:[!$&-;=?-\[\]_a-z~]|%[0-9A-Fa-f]{2})*)?"
)
_USER = re.compile(r"[^/]*//[^/?]*@")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
# What the gateway, the connection or a proxy on the way says itself.
_TAKEN = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
        "x-request-id",
        "traceparent",
        "tracestate",
    }
)
_TAKEN_PREFIXES = ("ce-", "webhook-", "proxy-", "x-forwarded-")


def _url(value: str, info: ValidationInfo) -> str:
    _require_url(value)
    rules = rules_of(info)
    if rules is not None:
        try:
            rules.check_url(value)
        except EventError as refused:
            raise expected(refused.detail) from None
    return value


def _require_url(value: str) -> None:
    if len(value) > _MOST_URL:
        raise expected(f"expected a URL of at most {_MOST_URL} characters")
    if "#" in value:
        raise expected("expected a URL without a fragment")
    if _USER.match(value):
        raise expected("expected a URL without user and password; credentials belong into auth")
    found = _URL.fullmatch(value)
    if found is None or int(found["port"] or 443) not in range(1, 65_536):
        raise expected("expected a URL such as https://team.example/hook, in visible ASCII characters")


def _secret(value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
    text = None if value is None else value.get_secret_value()
    if text is not None and isinstance(info.context, Drawer):
        opened = info.context.opened(text)
        return Sealed(text) if opened is None else SecretStr(opened)
    if text is not None and (len(text) > _MOST_SECRET or not _VALUE.fullmatch(text)):
        raise expected(f"expected 1 to {_MOST_SECRET} visible ASCII characters")
    return value


def _revealed(value: SecretStr | None, info: SerializationInfo) -> str | None:
    if value is None:
        return None
    if isinstance(info.context, Drawer):
        text = legible(value)
        return value.get_secret_value() if text is None else info.context.sealed(text)
    return value.get_secret_value() if info.context == REVEALED else None


def _headers(values: dict[str, Any]) -> dict[str, Any]:
    named = {name.lower(): value for name, value in values.items()}
    if len(named) < len(values):
        raise expected("expected each header once, whatever the case of its name")
    return named


def _header(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise expected("expected the name of a header")
    if name.lower() in _TAKEN or name.lower().startswith(_TAKEN_PREFIXES):
        raise expected("expected a header that the gateway does not set itself")
    return name


Url = Annotated[str, AfterValidator(_url)]
"""Absolute, with http or https, without credentials; where it leads is for ``SpecRules.check_url`` to judge."""
Secret = Annotated[SecretStr | None, AfterValidator(_secret), PlainSerializer(_revealed, return_type=str | None)]
"""Given by the owner; shown as null, which in turn means what is stored already."""
Text = Annotated[str, Field(min_length=1, max_length=1_024, pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")]


class BearerAuth(Body):
    """``Authorization: Bearer`` with a token.

    Args:
        type: the kind of proof.
        token: what stands behind ``Bearer``.
    """

    type: Literal["bearer"]
    token: Secret = None

    def completed(self, before: object) -> Self:
        """With the secrets of the one before where this one has none."""
        if self.token is not None or not isinstance(before, BearerAuth):
            return self
        return self.model_copy(update={"token": before.token})

    def missing(self) -> list[Fault]:
        """Secrets that nobody has given."""
        return _missing({"/token": self.token})


class HeaderAuth(Body):
    """Headers of the owner's.

    Args:
        type: the kind of proof.
        headers: value by name; names are the same in any case.
    """

    type: Literal["headers"]
    headers: Annotated[dict[Annotated[str, AfterValidator(_header)], Secret], AfterValidator(_headers)] = Field(
        min_length=1, max_length=_MOST_HEADERS
    )

    def completed(self, before: object) -> Self:
        """With the secrets of the one before where this one has none."""
        if not isinstance(before, HeaderAuth):
            return self
        headers = {name: value or before.headers.get(name) for name, value in self.headers.items()}
        return self.model_copy(update={"headers": headers})

    def missing(self) -> list[Fault]:
        """Secrets that nobody has given."""
        return _missing({f"/headers/{name.replace('~', '~0')}": value for name, value in self.headers.items()})


class OAuth2Auth(Body):
    """A token that a token endpoint gives for client credentials (RFC 6749, section 4.4).

    Args:
        type: the kind of proof.
        token_url: the token endpoint.
        client_id: name of the client there.
        client_secret: its secret.
        client_authentication: ``basic`` sends both in the head of the request, ``body`` in its body.
        scope: what is asked for, where the endpoint wants that.
        audience: whom the token is for, where the endpoint wants that.
    """

    type: Literal["oauth2"]
    token_url: Url
    client_id: Text
    client_secret: Secret = None
    client_authentication: Literal["basic", "body"] = "basic"
    scope: Text | None = None
    audience: Text | None = None

    def completed(self, before: object) -> Self:
        """With the secrets of the one before where this one has none and would tell them to nobody new."""
        if self.client_secret is not None or not isinstance(before, OAuth2Auth):
            return self
        same = (self.token_url, self.client_id) == (before.token_url, before.client_id)
        return self.model_copy(update={"client_secret": before.client_secret}) if same else self

    def missing(self) -> list[Fault]:
        """Secrets that nobody has given."""
        return _missing({"/clientSecret": self.client_secret})


Auth = Annotated[
    BearerAuth | HeaderAuth | OAuth2Auth,
    Field(discriminator="type"),
    BeforeValidator(by_type({"bearer": BearerAuth, "headers": HeaderAuth, "oauth2": OAuth2Auth})),
]


def _missing(secrets: dict[str, SecretStr | None]) -> list[Fault]:
    return [Fault(place, "is missing") for place, secret in secrets.items() if secret is None]
