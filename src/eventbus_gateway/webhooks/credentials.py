"""What a receiver asks of the gateway beside the signature: a bearer token, headers, OAuth2 client credentials."""

from collections.abc import Mapping
from typing import Protocol

from eventbus_gateway.subscriptions.vault import legible
from eventbus_gateway.subscriptions.webhook_auth import Auth, BearerAuth, HeaderAuth
from eventbus_gateway.webhooks.oauth import ClientCredentials, NoToken, Token

_NONE: Mapping[str, str] = {}


class TokenSource(Protocol):
    """Access tokens; ``oauth.Tokens`` is one."""

    async def token(self, credentials: ClientCredentials) -> Token | NoToken: ...

    def refused(self, credentials: ClientCredentials, token: Token) -> None: ...


class Credentials:
    """The proof that goes with the requests of one subscription.

    Args:
        auth: what its owner has given; None for nothing.
        tokens: where access tokens come from.
    """

    def __init__(self, auth: Auth | None, tokens: TokenSource) -> None:
        self._tokens = tokens
        self._client: ClientCredentials | None = None
        self._token: Token | None = None
        self._fixed: Mapping[str, str] | None = _NONE
        if isinstance(auth, BearerAuth):
            token = legible(auth.token)
            self._fixed = None if token is None else {"authorization": f"Bearer {token}"}
        elif isinstance(auth, HeaderAuth):
            texts = {name: legible(value) for name, value in auth.headers.items()}
            values = {name: text for name, text in texts.items() if text is not None}
            self._fixed = values if len(values) == len(texts) else None
        elif auth is not None:
            self._fixed = None
            if auth.client_secret is not None and legible(auth.client_secret) is not None:
                self._client = ClientCredentials(
                    auth.token_url,
                    auth.client_id,
                    auth.client_secret,
                    auth.scope or "",
                    auth.audience or "",
                    auth.client_authentication,
                )

    @property
    def fixed(self) -> Mapping[str, str] | None:
        """The headers where they need not be fetched, None where they do or where a secret is missing."""
        return self._fixed

    @property
    def is_usable(self) -> bool:
        """Whether every secret is there that the proof needs."""
        return self._fixed is not None or self._client is not None

    async def headers(self) -> Mapping[str, str] | None:
        """The headers of the next request, None where there is no credential now."""
        if self._client is None:
            return self._fixed
        found = await self._tokens.token(self._client)
        if isinstance(found, NoToken):
            return None
        self._token = found
        return {"authorization": found.authorization}

    def refused(self) -> None:
        """The receiver has answered 401: the next request gets another token, where there can be another one."""
        if self._client is not None and self._token is not None:
            self._tokens.refused(self._client, self._token)
