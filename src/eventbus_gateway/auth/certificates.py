"""Callers that a proxy has asked for a client certificate, by the header in which it tells whose it was.

The header is worth what the connection is that brought it: it counts only from the addresses of proxies which put it
there themselves, whatever the caller has sent. From anywhere else it is an attempt, and refused.
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import Literal

from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.auth.settings import AuthSettings
from eventbus_gateway.errors import Unauthenticated

_MAX_PEERS = 1_024
"""Addresses whose verdict is remembered."""
# Envoy's documentation of x-forwarded-client-cert: elements by comma, pairs by semicolon, keys in any case, values
# with special characters in double quotes, in which only a double quote is escaped.
_PAIR = re.compile(r'([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;]*))(?:;|(?=,)|$)', re.DOTALL)

Name = tuple[str, str]


class Certificates:
    """Establishes who calls from what a trusted proxy tells about the caller's certificate.

    Args:
        settings: the header, the proxies whose word counts, and whom certificates stand for.
    """

    def __init__(self, settings: AuthSettings) -> None:
        self.header = settings.certificate_header.encode()
        self._is_xfcc = settings.certificate_format == "xfcc"
        self._proxies = [ipaddress.ip_network(network) for network in settings.certificate_proxies]
        self._principals = {
            (one.kind, one.value): Principal(one.principal, frozenset(one.roles)) for one in settings.certificates
        }
        self._verdicts: dict[str, bool] = {}

    def __call__(self, value: bytes, peer: str) -> Principal:
        """Whom a certificate stands for.

        Args:
            value: of the header.
            peer: address at the other end of the connection; empty where there is none.

        Raises:
            Unauthenticated: nobody, or the header came from somebody else than a trusted proxy.
        """
        if not self._is_trusted(peer):
            raise Unauthenticated("A header with a client certificate is taken from trusted proxies only.")
        try:
            text = value.decode()
        except UnicodeDecodeError:
            raise _malformed() from None
        names: list[Name] = list(xfcc_names(text)) if self._is_xfcc else [("subject", text)]
        found = {self._principals[name] for name in names if name in self._principals}
        if len(found) != 1:
            # With several, one certificate would stand for whomever its names happen to be listed for.
            raise Unauthenticated("The client certificate stands for no principal, or for more than one.")
        return found.pop()

    def _is_trusted(self, peer: str) -> bool:
        verdict = self._verdicts.get(peer)
        if verdict is None:
            if len(self._verdicts) >= _MAX_PEERS:
                self._verdicts.clear()
            verdict = self._verdicts[peer] = self._judge(peer)
        return verdict

    def _judge(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # as a socket for both families shows an IPv4 peer
        return any(address in network for network in self._proxies)


def xfcc_names(text: str) -> Iterator[tuple[Literal["subject", "uri", "dns"], str]]:
    """The names of the one certificate that the header tells about.

    Raises:
        Unauthenticated: it is malformed, or tells about more than one: which of them is the caller's is not known.
    """
    at = 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            raise _malformed()
        at = pair.end()
        value = pair[3] if pair[2] is None else pair[2].replace('\\"', '"')
        match pair[1].lower():
            case "subject" | "uri" | "dns" as kind:
                yield kind, value
            case _:
                continue


def _malformed() -> Unauthenticated:
    return Unauthenticated("The header with the client certificate is malformed, or tells about several.")
