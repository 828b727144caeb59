"""Bearer tokens of OpenID Connect issuers.

::

    token ── compact ──> header, claims ── issuer ──> key ── claims ──> principal
                                             │
                                           keys ── source, keyset (JWKS)

``tokens.OidcTokens`` is what the rest of the gateway uses. Nothing is believed that a token says about how to verify
it: its ``iss`` and ``kid`` choose among issuers and keys that are known, and ``alg`` has to be what the key is for.
"""
