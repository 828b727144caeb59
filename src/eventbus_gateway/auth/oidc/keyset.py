"""The keys of a JWK Set that can verify tokens."""

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key
from joserfc.jws import JWSRegistry

from eventbus_gateway.auth.oidc.compact import MAX_KID_CHARACTERS, Presented, json_object

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
# A key is for the algorithms of its kind and for no others (RFC 8725 section 3.1; kinds of RFC 7518, 8037 and 9864).
_ALGORITHMS: Mapping[tuple[str, str | None], frozenset[str]] = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA", "Ed25519"}),
}
_MATERIAL: Mapping[str, tuple[str, ...]] = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_RSA_BITS = range(2_048, 8_193)  # shorter ones can be broken, longer ones take long
_RSA_EXPONENT_BITS = 32  # likewise; those that are too small are refused by the library
_MAX_MEMBER_CHARACTERS = 2_048


class UnusableKeySet(Exception):
    """The answer of an issuer is no JWK Set; its text says why in fixed words."""


class VerifyingKey(NamedTuple):
    """A public key.

    Args:
        material: what of its JWK makes the key; the same for the same key.
        algorithms: what it may be used for.
        key: the key itself.
    """

    material: tuple[str, ...]
    algorithms: frozenset[str]
    key: Key

    def verifies(self, token: Presented) -> bool:
        """Whether it made a token's signature, with an algorithm that it may be used for.

        Args:
            token: the token.
        """
        if token.algorithm not in self.algorithms:
            return False
        return JWSRegistry.algorithms[token.algorithm].verify(token.signed, token.signature, self.key)


KeySet = Mapping[str, VerifyingKey]
"""Keys by their ``kid``."""


def key_set(text: bytes, max_keys: int) -> KeySet:
    """The keys of a JWK Set (RFC 7517 section 5) by ``kid``; those of other kinds are left out.

    A ``kid`` that comes twice stands for no key: which one is meant would be a guess.

    Args:
        text: the JSON text, of bounded length.
        max_keys: entries that are taken at the most.

    Raises:
        UnusableKeySet: it is none, or too large.
    """
    try:
        entries = json_object(text).get("keys")
    except ValueError:
        raise UnusableKeySet("the answer is no JSON object") from None
    if not isinstance(entries, list):
        raise UnusableKeySet("the answer is no JWK Set")
    if len(entries) > max_keys:
        raise UnusableKeySet(f"the answer has more than {max_keys} keys")
    keys: dict[str, VerifyingKey] = {}
    twice: set[str] = set()
    for entry in entries:
        key = _verifying(entry)
        if key is not None:
            if entry["kid"] in keys:
                twice.add(entry["kid"])
            keys[entry["kid"]] = key
    return {kid: key for kid, key in keys.items() if kid not in twice}


def _verifying(entry: Any) -> VerifyingKey | None:
    if not isinstance(entry, dict) or not _is_for_verifying(entry):
        return None
    material = _material(entry)
    algorithms = _ALGORITHMS.get((material.get("kty", ""), material.get("crv")), frozenset())
    if "alg" in entry:
        algorithms = frozenset(one for one in algorithms if one == entry["alg"])
    try:
        if not algorithms or ("n" in material and not _is_sound_rsa(material)):
            return None
        return VerifyingKey(tuple(material.values()), algorithms, JWKRegistry.import_key({**material}))
    except (ValueError, JoseError):
        return None


def _material(entry: dict[str, Any]) -> dict[str, str]:
    """The members that make the key, and no others; empty for a kind of key that is not known, or a damaged one."""
    names = ("kty", *_MATERIAL.get(str(entry.get("kty")), ()))
    found = {name: entry.get(name) for name in names}
    sound = {name: value for name, value in found.items() if isinstance(value, str)}
    fits = len(sound) == len(names) and all(len(value) <= _MAX_MEMBER_CHARACTERS for value in sound.values())
    return sound if fits else {}


def _is_for_verifying(entry: dict[str, Any]) -> bool:
    """Whether it has a name, is meant for signatures, and is public: a private key that is published is nobody's."""
    kid, operations = entry.get("kid"), entry.get("key_ops", ["verify"])
    return (
        isinstance(kid, str)
        and 0 < len(kid) <= MAX_KID_CHARACTERS
        and entry.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and "d" not in entry
    )


def _is_sound_rsa(material: Mapping[str, str]) -> bool:
    modulus, exponent = (_number(material[name]) for name in ("n", "e"))
    return modulus.bit_length() in _RSA_BITS and exponent.bit_length() <= _RSA_EXPONENT_BITS


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
