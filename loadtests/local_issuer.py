"""An OpenID Connect issuer on this machine: real keys, real HTTP, and answers that can be changed."""

import base64
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from tests.scripted_server import Canned, ScriptedServer, Seen

DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/keys"


def rsa_key(bits: int = 2_048) -> RSAKey:
    return RSAKey.generate_key(bits)


def ec_key(curve: str = "P-256") -> ECKey:
    return ECKey.generate_key(curve)


def ed_key() -> OKPKey:
    return OKPKey.generate_key("Ed25519")


def encoded(data: bytes) -> bytes:
    """Base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def signed(header: Mapping[str, Any], claims: bytes, key: Key, algorithm: str) -> bytes:
    """A JWS in compact form whose header can say anything, signed with an algorithm in fact."""
    text = encoded(orjson.dumps(header)) + b"." + encoded(claims)
    return text + b"." + encoded(JWSRegistry.algorithms[algorithm].sign(text, key))


class LocalIssuer(ScriptedServer):
    """An issuer whose tokens say its URL in ``iss``; what ``answer`` returns for a path comes before all else."""

    def __init__(self, now: Callable[[], float] = time.time, tls: ssl.SSLContext | None = None) -> None:
        self.answer: Callable[[str], Canned | None] = lambda path: None
        self.keys: dict[str, Key] = {}
        self.document: list[dict[str, Any]] | None = None
        self._now = now
        super().__init__(tls)

    @property
    def fetches(self) -> int:
        """How often its keys were asked for."""
        return self.targets.count(JWKS)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of a good token; None takes one away."""
        now = int(self._now())
        claims = {"iss": self.url, "aud": "eventbus", "sub": "caller", "iat": now, "nbf": now, "exp": now + 3_600}
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, kid: str, algorithm: str = "RS256", **changes: Any) -> bytes:
        """A good token, but for the claims that are changed."""
        header = {"typ": "JWT", "alg": algorithm, "kid": kid}
        return signed(header, orjson.dumps(self.claims(**changes)), self.keys[kid], algorithm)

    def replied(self, seen: Seen) -> Canned:
        """The answer to a request."""
        path = seen.target
        scripted = self.answer(path)
        if scripted is not None:
            return scripted
        match path:
            case "/.well-known/openid-configuration":
                return Canned(body=orjson.dumps({"issuer": self.url, "jwks_uri": self.url + JWKS}))
            case "/keys":
                return Canned(body=orjson.dumps({"keys": self.jwks()}))
        return Canned(404, b"<html>no such page</html>")

    def jwks(self) -> list[dict[str, Any]]:
        """The public keys that are published."""
        if self.document is not None:
            return self.document
        return [{**key.as_dict(private=False), "kid": kid, "use": "sig"} for kid, key in self.keys.items()]
