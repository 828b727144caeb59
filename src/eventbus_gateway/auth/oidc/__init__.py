"""Bearer tokens of OpenID Connect issuers.

::

    token ── compact ──> header, claims ── issuer ──> key ── claims ──> principal
                                             │
                               keys ── source, keyset (JWKS)

``OidcTokens`` is what the rest of the gateway uses. Nothing that a token says about how to verify it is believed: its
``iss`` and ``kid`` choose among issuers and keys that are known, and ``alg`` has to be what such a key is for.
"""

from eventbus_gateway.auth.oidc.tokens import OidcTokens

__all__ = ["OidcTokens"]
