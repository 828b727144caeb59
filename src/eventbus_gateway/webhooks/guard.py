"""Which URLs may be registered and called, against requests that reach what only the gateway should reach (SSRF).

A URL is taken apart once, by the parser of the client that calls it; what was checked is what is called. Names say
nothing about addresses: each address is checked again when it is connected to.
"""

import ipaddress
import re
from typing import Literal, NamedTuple

from yarl import URL

from eventbus_gateway.webhooks.addresses import AddressRules, Reason, forbidden
from eventbus_gateway.webhooks.settings import WebhookSettings

Code = Literal[
    "invalid_url",
    "forbidden_scheme",
    "forbidden_userinfo",
    "forbidden_port",
    "invalid_host",
    "forbidden_host",
    "forbidden_address",
]

MAX_URL_CHARACTERS = 2_048
_MAX_NAME_CHARACTERS = 253  # RFC 1035, 2.3.4, as text without the last dot

_UNSAFE = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029]")
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
_PORT = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_ADDRESS_DETAILS: dict[Reason, str] = {
    "malformed": "The URL's host is not an address that can be called.",
    "never": "The URL's address is link-local, multicast, reserved or of a cloud's metadata; it is never called.",
    "denied": "The URL's address is in a network that webhooks.denied_networks names.",
    "not_public": "The URL's address is not public; webhooks.allowed_networks can open its network.",
}


class Refusal(NamedTuple):
    """Why a URL may not be called.

    Args:
        code: stable name of the reason.
        detail: a sentence for people, without anything of the URL.
    """

    code: Code
    detail: str


class Target(NamedTuple):
    """A URL that may be called, as far as that shows before its host is looked up.

    Args:
        url: what is called; its query can hold a secret.
        host: name in lower case without a last dot, or address.
        port: TCP port.
        trusted: the configuration lets the addresses of this name be private.
    """

    url: URL
    host: str
    port: int
    trusted: bool

    @property
    def is_address(self) -> bool:
        """Whether its host is an address, and needs no look-up."""
        return _is_address(self.host)

    def __repr__(self) -> str:
        return f"Target(host={self.host!r}, port={self.port})"


class Rules(NamedTuple):
    """What the configuration says about URLs.

    Args:
        schemes: schemes that may be called.
        ports: first and last port of each range that may be called.
        allowed_hosts: names, or ``*.`` and a domain, whose addresses may be private.
        denied_hosts: names, or ``*.`` and a domain, that are never called.
        addresses: what it says about addresses.
    """

    schemes: frozenset[str]
    ports: tuple[tuple[int, int], ...]
    allowed_hosts: frozenset[str]
    denied_hosts: frozenset[str]
    addresses: AddressRules


def rules_of(settings: WebhookSettings) -> Rules:
    """The rules that a configuration makes."""
    schemes = {"https", "http"} if settings.allow_http else {"https"}
    ports = [*settings.allowed_ports, *(["80"] if settings.allow_http else [])]
    allowed, denied = (
        tuple(map(ipaddress.ip_network, networks))
        for networks in (settings.allowed_networks, settings.denied_networks)
    )
    return Rules(
        schemes=frozenset(schemes),
        ports=tuple(map(_range, ports)),
        allowed_hosts=frozenset(settings.allowed_hosts),
        denied_hosts=frozenset(settings.denied_hosts),
        addresses=AddressRules(allowed, denied),
    )


def check_url(text: str, rules: Rules) -> Target | Refusal:
    """A URL as it is called, or why it may not be.

    Args:
        text: absolute URL as somebody has written it.
        rules: what the configuration says.
    """
    url = _parsed(text)
    if isinstance(url, Refusal):
        return url
    if url.scheme not in rules.schemes:
        expected = "https:// or http://" if "http" in rules.schemes else "https://"
        return Refusal("forbidden_scheme", f"The URL must begin with {expected}.")
    port = url.port or 0
    if not any(first <= port <= last for first, last in rules.ports):
        return Refusal("forbidden_port", f"Port {port} is not among webhooks.allowed_ports.")
    host = url.raw_host or ""
    return _check_address(url, host, rules) if _is_address(host) else _check_name(url, host, rules)


def _parsed(text: str) -> URL | Refusal:
    if len(text) > MAX_URL_CHARACTERS:
        return Refusal("invalid_url", f"The URL must have at most {MAX_URL_CHARACTERS} characters.")
    if _UNSAFE.search(text):
        return Refusal("invalid_url", "The URL must not have spaces, control characters or backslashes.")
    authority = _AUTHORITY.match(text)
    if authority is None:
        return Refusal("invalid_url", "The URL must be absolute: https://, a host, and a path.")
    if "@" in authority[1]:
        return Refusal("forbidden_userinfo", "The URL must not have a user or password; use a header instead.")
    if "#" in text:
        return Refusal("invalid_url", "The URL must not have a fragment; it would not be sent.")
    port = _PORT.fullmatch(authority[1])
    if port is None or not 0 < int(port[1] or 443) <= 65_535:
        return Refusal("invalid_url", "The URL's port must be a number from 1 to 65535.")
    try:
        url = URL(text)
        host = url.raw_host
    except ValueError:
        return Refusal("invalid_host", "The URL's host is neither a name nor an address.")
    if not host:
        return Refusal("invalid_host", "The URL has no host.")
    # The parser also takes [v1.name] (RFC 3986, 3.2.2), and then calls it a name.
    if authority[1].startswith("[") and ":" not in host:
        return Refusal("invalid_host", "The URL's host is neither a name nor an address.")
    return url


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check_address(url: URL, host: str, rules: Rules) -> Target | Refusal:
    reason = forbidden(host, rules.addresses)
    if reason is not None:
        return Refusal("forbidden_address", _ADDRESS_DETAILS[reason])
    return Target(url, host, url.port or 0, trusted=False)


def _check_name(url: URL, host: str, rules: Rules) -> Target | Refusal:
    name = host.removesuffix(".").lower()
    labels = name.split(".")
    if len(name) > _MAX_NAME_CHARACTERS or not all(map(_LABEL.fullmatch, labels)):
        return Refusal("invalid_host", "The URL's host is neither a name nor an address.")
    if _NUMBER.fullmatch(labels[-1]):
        # inet_aton takes 0x7f.1, 017700000001 and 2130706433 for 127.0.0.1; parsers do not agree on such names.
        return Refusal("invalid_host", "The URL's host looks like an address; write that as four decimal numbers.")
    if _listed(name, rules.denied_hosts):
        return Refusal("forbidden_host", "The URL's host is one that webhooks.denied_hosts names.")
    trusted = _listed(name, rules.allowed_hosts)
    if labels[-1] == "localhost" and not trusted and forbidden("127.0.0.1", rules.addresses):  # RFC 6761, 6.3
        return Refusal("forbidden_address", _ADDRESS_DETAILS["not_public"])
    return Target(url, name, url.port or 0, trusted)


def _listed(name: str, hosts: frozenset[str]) -> bool:
    if not hosts:
        return False
    labels = name.split(".")
    return name in hosts or any("*." + ".".join(labels[at:]) in hosts for at in range(1, len(labels)))


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)
