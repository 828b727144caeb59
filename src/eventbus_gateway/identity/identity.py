"""How a process finds out who calls: put together, started, and stopped again."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping

from eventbus_gateway.auth.chain import Authenticate, TokenVerifier, authenticator
from eventbus_gateway.auth.settings import AuthSettings
from eventbus_gateway.identity.key_topic import key_table, key_topic
from eventbus_gateway.identity.stored_keys import StoredKeys
from eventbus_gateway.kafka.internal_topics import until_usable
from eventbus_gateway.kafka.records import RecordSink
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.subscriptions.dead_letter_topics import TopicKeeper
from eventbus_gateway.subscriptions.settings import SubscriptionSettings
from eventbus_gateway.telemetry import Metrics

_logger = logging.getLogger(__name__)


class Identity:
    """Establishes who calls, and follows what that depends on.

    Args:
        auth: which ways are accepted.
        subscriptions: what internal topics are called, and whether they are created.
        kafka: how to reach Kafka.
        sink: stores records.
        keeper: looks after internal topics.
        tokens: judges tokens of identity providers; None for what the configuration says.

    Raises:
        ValueError: tokens are one of the ways, and nothing can judge them as configured.
    """

    def __init__(
        self,
        auth: AuthSettings,
        subscriptions: SubscriptionSettings,
        kafka: KafkaSettings,
        sink: RecordSink,
        keeper: TopicKeeper,
        tokens: TokenVerifier | None = None,
    ) -> None:
        self._subscriptions = subscriptions
        self._keeper = keeper
        self._key_ages: Callable[[], Mapping[str, float]] | None = None
        if tokens is None and auth.oidc and "oidc" in auth.ways:
            # 9 MiB of memory with all that it imports, which only who takes tokens needs.
            from eventbus_gateway.auth.oidc.tokens import OidcTokens  # noqa: PLC0415

            tokens = issued = OidcTokens(auth.oidc)
            self._key_ages = issued.key_ages
        self._tokens = tokens
        self._table = key_table(auth, subscriptions, kafka, sink) if auth.uses_key_table else None
        self._keys = None if self._table is None else StoredKeys(self._table, auth)
        self._checking: asyncio.Task[None] | None = None
        self.authenticate: Authenticate = authenticator(auth, None if self._keys is None else self._keys.ring, tokens)

    async def start(self, seconds: float) -> None:
        """Begin to follow; neither Kafka nor identity providers need to be reachable.

        Args:
            seconds: how long to wait for the keys of identity providers, and for those in Kafka.
        """
        if self._tokens is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._tokens.start()
        if self._table is None:
            return
        check = self._keeper.ensure if self._subscriptions.create_topics else self._keeper.examine
        self._checking = asyncio.create_task(until_usable(check, [key_topic(self._subscriptions)], "API keys wait"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._checking)
        if not await self._table.start(seconds):
            _logger.warning("the table of API keys was not read in time; that goes on")

    async def close(self) -> None:
        """Follow no more."""
        if self._checking is not None:
            self._checking.cancel()
            await asyncio.gather(self._checking, return_exceptions=True)
        if self._table is not None:
            await self._table.close()
        if self._tokens is not None:
            await self._tokens.aclose()

    def measure(self, metrics: Metrics) -> None:
        """Have it shown how many keys are known, whether all of the table are, and how old those of issuers are."""
        table, keys, gauge = self._table, self._keys, metrics.gauge
        if self._key_ages is not None:
            name, about = "eventbus_oidc_keys_age_seconds", "Age of the keys of an issuer of tokens."
            metrics.gauges(name, about, "issuer", self._key_ages)
        if table is not None and keys is not None:
            gauge("eventbus_api_keys", "API keys that this process knows.", lambda: len(keys.ring))
            gauge("eventbus_api_keys_ready", "1 once all API keys are known.", lambda: table.is_ready)
