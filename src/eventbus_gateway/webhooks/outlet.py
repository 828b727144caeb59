"""What delivers webhooks in one process, put together."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import orjson

from eventbus_gateway.errors import GatewayError, InvalidSubscription
from eventbus_gateway.subscriptions.control import PauseReason
from eventbus_gateway.subscriptions.hand import Hand
from eventbus_gateway.subscriptions.instants import timestamp
from eventbus_gateway.subscriptions.resource import Subscription
from eventbus_gateway.subscriptions.webhook_spec import WebhookDelivery
from eventbus_gateway.webhooks.credentials import Credentials
from eventbus_gateway.webhooks.dispatcher import Deliver, Dispatcher, Services
from eventbus_gateway.webhooks.guard import Refusal
from eventbus_gateway.webhooks.handshake import Permission, handshake
from eventbus_gateway.webhooks.messages import Message, batch, binary, structured
from eventbus_gateway.webhooks.oauth import Tokens
from eventbus_gateway.webhooks.outbound import Attempted
from eventbus_gateway.webhooks.requests import OutgoingOf, addressed
from eventbus_gateway.webhooks.rotating import signer_of
from eventbus_gateway.webhooks.sealing import SealBroken, Sealer, parse_keys
from eventbus_gateway.webhooks.sender import Sender
from eventbus_gateway.webhooks.settings import WebhookSettings

_logger = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 0.5
_LAST_RETRY_SECONDS = 30.0
_PURPOSE = "subscription"
_PING_TYPE = "eventbus.test"


class SealedVault:
    """See ``subscriptions.vault.Vault``.

    Args:
        sealer: holds the keys.
    """

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def seal(self, secret: str, subscription_id: str) -> str:
        """See ``Vault.seal``."""
        return self._sealer.seal(secret, subscription_id, _PURPOSE)

    def open(self, sealed: str, subscription_id: str) -> str | None:
        """See ``Vault.open``."""
        try:
            return self._sealer.open(sealed, subscription_id, _PURPOSE).secret
        except SealBroken:
            return None


class Telling(NamedTuple):
    """Whom an outlet tells what happens.

    Args:
        attempted: counts attempts for a subscription, by its full name, and by what came of them.
        took: notes how many seconds an attempt took.
        deliver: makes attempts in place of the sender alone; None where nobody traces.
    """

    attempted: Callable[[str, str], None]
    took: Callable[[float], None]
    deliver: Deliver | None = None


class Outlet:
    """Makes the dispatchers of shards, and sends what is asked for beside them.

    Args:
        settings: whom to call, and how.
        outgoing_of: what makes events of a topic's records.
        telling: whom to tell what happens.

    Raises:
        InvalidKeys: ``secret_keys`` is no list of keys.
        ValueError: ``ca_file`` cannot be used.
    """

    def __init__(self, settings: WebhookSettings, outgoing_of: OutgoingOf, telling: Telling) -> None:
        keys = settings.secret_keys
        self.vault = None if keys is None else SealedVault(Sealer(parse_keys(keys.get_secret_value())))
        self._disable: Callable[[Subscription, PauseReason], Awaitable[None]] | None = None
        self._disabling: set[asyncio.Task[None]] = set()
        self._settings = settings
        self._sender = Sender(settings)
        self._tokens = Tokens(self._sender, settings)
        self._services = Services(
            self._sender.send,
            outgoing_of,
            lambda subscription: signer_of(subscription.signing),
            self._credentials,
            self._ask,
            settings.origin or "",
            self._gone,
            telling.attempted,
            telling.took,
            telling.deliver,
        )

    @property
    def asks(self) -> bool:
        """Whether receivers can be asked: that takes a name of this system."""
        return self._settings.origin is not None

    async def start(self, disable: Callable[[Subscription, PauseReason], Awaitable[None]]) -> None:
        """Be ready to connect.

        Args:
            disable: pauses a subscription whose receiver is gone for good.
        """
        self._disable = disable
        await self._sender.start()

    async def close(self) -> None:
        """End all connections."""
        for task in self._disabling:
            task.cancel()
        await asyncio.gather(*self._disabling, return_exceptions=True)
        await self._tokens.aclose()
        await self._sender.close()

    def check_url(self, url: str) -> None:
        """Refuse a URL that may not be called.

        Args:
            url: absolute.

        Raises:
            InvalidSubscription: it may not be called, or no webhook may be stored at all.
        """
        if self.vault is None:
            raise InvalidSubscription(
                "expected another type of delivery: this gateway has no key to keep webhooks' secrets with"
            )
        found = self._sender.check(url)
        if isinstance(found, Refusal):
            raise InvalidSubscription(found.detail)

    def push(self, subscription: Subscription, hand: Hand) -> Dispatcher:
        """What sends the events of a shard; see ``subscriptions.means.Means.push``."""
        return Dispatcher(subscription, hand, self._services)

    async def ping(self, subscription: Subscription, event_id: str) -> Attempted:
        """Send one event that says that it is a test, whatever the subscription's state, once.

        Args:
            subscription: with a webhook.
            event_id: id of the event.
        """
        delivery = subscription.spec.delivery
        if not isinstance(delivery, WebhookDelivery):
            raise TypeError("only webhooks are pinged")
        signer = signer_of(subscription.signing)
        proof = await self._credentials(subscription).headers()
        if proof is None or (signer is None and delivery.signing != "none"):
            return Attempted(None, "no_credential", None, 0.0)
        message = _ping(subscription, event_id, delivery.format)
        return await self._sender.send(
            addressed(message, f"test-{event_id}", subscription.id, delivery, signer, proof, int(time.time()))
        )

    async def _ask(self, subscription: Subscription, delivery: WebhookDelivery) -> Permission:
        rate = delivery.rate_per_second
        return await handshake(
            self._sender,
            subscription.id,
            delivery.url,
            self._settings.origin or "",
            requests_per_minute=None if rate is None else max(1, int(rate * 60)),
            timeout_seconds=delivery.timeout_seconds,
        )

    def _gone(self, subscription: Subscription) -> None:
        task = asyncio.get_running_loop().create_task(self._paused(subscription))
        self._disabling.add(task)
        task.add_done_callback(self._disabling.discard)

    async def _paused(self, subscription: Subscription) -> None:
        """Have the end of a receiver stored; until it is, its dispatcher sends nothing by itself."""
        pause = _FIRST_RETRY_SECONDS
        while self._disable is not None:
            try:
                await self._disable(subscription, "gone")
            except GatewayError as error:
                _logger.warning("subscription %s cannot be paused yet: %s", subscription.id, error.code)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LAST_RETRY_SECONDS)
            else:
                return

    def _credentials(self, subscription: Subscription) -> Credentials:
        delivery = subscription.spec.delivery
        return Credentials(delivery.auth if isinstance(delivery, WebhookDelivery) else None, self._tokens)


def _ping(subscription: Subscription, event_id: str, form: str) -> Message:
    data = {"test": True, "subscription": subscription.name}
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": event_id,
        "source": f"/subscriptions/{subscription.full_name}",
        "type": _PING_TYPE,
        "time": timestamp(int(time.time() * 1_000)),
        "datacontenttype": "application/json",
        "data": data,
    }
    if form == "binary":
        return binary(event, None)
    text = orjson.dumps(event)
    return structured(text) if form == "structured" else batch([text])
