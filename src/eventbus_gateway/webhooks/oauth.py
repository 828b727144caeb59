"""Access tokens for receivers, by client credentials (RFC 6749, 4.4)."""

import asyncio
import base64
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal, NamedTuple
from urllib.parse import quote_plus, urlencode

import orjson
from pydantic import SecretStr

from eventbus_gateway.webhooks.outbound import Outbound
from eventbus_gateway.webhooks.sender import Exchanges, Kept
from eventbus_gateway.webhooks.settings import WebhookSettings

MAX_TOKEN_CHARACTERS = 8_000
_MAX_ANSWER_BYTES = 65_536
_MAX_LIFETIME_SECONDS = 86_400.0
_UNSAID_LIFETIME_SECONDS = 300.0
"""Lifetime of a token whose issuer does not say; it should (RFC 6749, 5.1)."""
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, 2.1

Way = Literal["basic", "body"]
"""How the client proves who it is: HTTP Basic, or in the body (RFC 6749, 2.3.1)."""

Problem = Literal["unreachable", "refused", "unusable"]
"""Why there is no token: the authorization server did not answer, it refused, or its answer is none."""


class ClientCredentials(NamedTuple):
    """Who asks whom for a token.

    Args:
        token_url: where tokens are issued.
        client_id: name of the client.
        client_secret: its secret.
        scope: space-separated scopes, or empty.
        audience: whom the token is for, or empty.
        way: how the client proves who it is.
    """

    token_url: str
    client_id: str
    client_secret: SecretStr
    scope: str = ""
    audience: str = ""
    way: Way = "basic"

    def __repr__(self) -> str:
        return f"ClientCredentials(client_id={self.client_id!r})"


class Token(NamedTuple):
    """A token for the ``Authorization`` header.

    Args:
        authorization: the whole value of the header.
    """

    authorization: str

    def __repr__(self) -> str:
        return "Token()"


class NoToken(NamedTuple):
    """Why there is no token.

    Args:
        problem: the kind of reason.
        status: HTTP status of the authorization server, where it answered.
    """

    problem: Problem
    status: int | None = None


# Whoever knows the name of a client but not its secret must not get the token of another one.
_Key = tuple[str, str, str, str, Way, bytes]


class _Held(NamedTuple):
    """One answer of an authorization server: a token, or since when there is none."""

    result: Token | NoToken
    fetched: float
    renew: float
    ends: float


class Tokens:
    """Tokens for all receivers, each fetched once for all who need it.

    Args:
        sender: asks the authorization servers, which the same rules hold for as for receivers.
        settings: times and bounds.
        clock: seconds that never go back.
    """

    def __init__(
        self, sender: Exchanges, settings: WebhookSettings, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sender = sender
        self._settings = settings
        self._clock = clock
        self._held: OrderedDict[_Key, _Held] = OrderedDict()
        self._under_way: dict[_Key, asyncio.Task[Token | NoToken]] = {}

    def __len__(self) -> int:
        return len(self._held)

    async def token(self, credentials: ClientCredentials) -> Token | NoToken:
        """A token that has some time left, or why there is none.

        A caller that is cancelled leaves the request to the others.

        Args:
            credentials: who asks whom.

        Raises:
            ShuttingDown: the sender was closed, or not started.
        """
        key = _key(credentials)
        held = self._held.get(key)
        if held is not None:
            self._held.move_to_end(key)
            if self._clock() < held.renew:
                return held.result
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._fetch(key, credentials))
            task.add_done_callback(lambda done: self._landed(key, done))
        await asyncio.wait([task])
        return NoToken("unreachable") if task.cancelled() else task.result()

    def refused(self, credentials: ClientCredentials, token: Token) -> None:
        """A receiver has answered 401: fetch another token next, but not more than one in some seconds.

        Args:
            credentials: whose token it is.
            token: the one that was refused; one that was replaced meanwhile is not replaced again.
        """
        key = _key(credentials)
        held = self._held.get(key)
        if held is not None and held.result == token:
            renew = min(held.renew, held.fetched + self._settings.token_retry_seconds)
            # It ends with that, since a token that is refused is not better than none.
            self._held[key] = held._replace(renew=renew, ends=renew)

    async def aclose(self) -> None:
        """Give up what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, key: _Key, credentials: ClientCredentials) -> Token | NoToken:
        answer = await self._sender.exchange("POST", self._request(key, credentials), _MAX_ANSWER_BYTES)
        now = self._clock()
        result = _understood(answer)
        before = self._held.get(key)
        if isinstance(result, _Issued):
            seconds = result.seconds
            margin = min(self._settings.token_margin_seconds, seconds / 2)
            held = _Held(Token(f"Bearer {result.text}"), now, now + seconds - margin, now + seconds)
        elif before is not None and isinstance(before.result, Token) and now < before.ends:
            held = before._replace(renew=min(now + self._settings.token_retry_seconds, before.ends))
        else:
            again = now + self._settings.token_retry_seconds
            held = _Held(result, now, again, again)
        self._held[key] = held
        self._held.move_to_end(key)
        if len(self._held) > self._settings.max_tokens:
            self._held.popitem(last=False)
        return held.result

    def _landed(self, key: _Key, task: "asyncio.Task[Token | NoToken]") -> None:
        del self._under_way[key]
        if not task.cancelled():
            # Looked at, since everybody who waited may have left: asyncio reports exceptions that nobody has read.
            task.exception()

    def _request(self, key: _Key, credentials: ClientCredentials) -> Outbound:
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        form = {"grant_type": "client_credentials"}
        if credentials.scope:
            form["scope"] = credentials.scope
        if credentials.audience:
            form["audience"] = credentials.audience
        secret = credentials.client_secret.get_secret_value()
        if credentials.way == "basic":
            pair = f"{quote_plus(credentials.client_id)}:{quote_plus(secret)}".encode()
            headers["authorization"] = "Basic " + base64.b64encode(pair).decode()
        else:
            form |= {"client_id": credentials.client_id, "client_secret": secret}
        endpoint = "token " + hashlib.sha256(repr(key).encode()).hexdigest()
        body = urlencode(form).encode()
        return Outbound(credentials.token_url, headers, body, self._settings.token_timeout_seconds, endpoint)


class _Issued(NamedTuple):
    text: str
    seconds: float


def _key(credentials: ClientCredentials) -> _Key:
    secret = hashlib.sha256(credentials.client_secret.get_secret_value().encode()).digest()
    token_url, client_id, _, scope, audience, way = credentials
    return token_url, client_id, scope, audience, way, secret


def _understood(answer: Kept) -> _Issued | NoToken:
    """The token in an answer (RFC 6749, 5.1)."""
    status, failure = answer.attempted.status, answer.attempted.failure
    if status is None or failure is not None or status >= 500 or status == 429:
        return NoToken("unreachable", status)
    if status != 200:
        return NoToken("refused", status)
    try:
        found: Any = orjson.loads(answer.answered.body)
    except orjson.JSONDecodeError:
        return NoToken("unusable", status)
    if not isinstance(found, dict):
        return NoToken("unusable", status)
    text, kind = found.get("access_token"), found.get("token_type")
    bearer = isinstance(kind, str) and kind.lower() == "bearer"
    if not bearer or not isinstance(text, str) or len(text) > MAX_TOKEN_CHARACTERS or not _BEARER.fullmatch(text):
        return NoToken("unusable", status)
    return _Issued(text, _lifetime(found.get("expires_in")))


def _lifetime(said: Any) -> float:
    if isinstance(said, str) and said.isascii() and said.isdigit():  # some servers quote the number
        said = int(said[:9])
    if isinstance(said, bool) or not isinstance(said, int | float) or said <= 0:
        return _UNSAID_LIFETIME_SECONDS
    return min(float(said), _MAX_LIFETIME_SECONDS)
