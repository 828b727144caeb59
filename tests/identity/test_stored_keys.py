"""API keys in Kafka, as those who manage them and those who ask for them see them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.kafka.tables import Replica, replica

from eventbus_gateway.auth.key_entries import Refused
from eventbus_gateway.auth.keys import is_well_formed, new_key
from eventbus_gateway.auth.oidc.settings import is_reserved
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.auth.settings import AuthSettings
from eventbus_gateway.errors import GatewayError, KafkaUnavailable, Unauthenticated
from eventbus_gateway.identity.issuing import Issued, KeyIssuer
from eventbus_gateway.identity.stored_keys import StoredKeys

NO_ROLES: frozenset[str] = frozenset()


class Asked:
    """A replica that is asked who a key stands for.

    Args:
        one: its view of the table.
    """

    def __init__(self, one: Replica) -> None:
        self._one = one
        self.keys = StoredKeys(one.table, AuthSettings())

    def who(self, key: bytes) -> Principal | None:
        try:
            return self.keys.ring(key)
        except Unauthenticated:
            return None

    async def until(self, key: bytes, principal: Principal | None) -> float:
        """Wait until a key stands for a principal or for nobody; how long that took."""
        return await self._one.until(lambda _: self.who(key) == principal)


@asynccontextmanager
async def asked(bootstrap: str, topic: str) -> AsyncIterator[Asked]:
    async with replica(bootstrap, topic) as one:
        yield Asked(one)


def _issued(done: Issued | Refused) -> Issued:
    assert isinstance(done, Issued), done
    return done


def test_a_key_is_accepted_by_all_replicas_until_it_is_revoked(broker: Broker, topic: TopicFactory) -> None:
    async def run(name: str) -> None:
        async with (
            replica(broker.bootstrap, name) as own,
            asked(broker.bootstrap, name) as first,
            asked(broker.bootstrap, name) as second,
        ):
            issuer = KeyIssuer(own.table)
            one = _issued(await issuer.create("labs", frozenset({"writer"}), None))
            two = _issued(await issuer.create("labs", NO_ROLES, None))
            other = _issued(await issuer.create("ward", NO_ROLES, None))
            assert all(is_well_formed(issued.key) for issued in (one, two, other))
            for each in (first, second):
                await each.until(other.key, Principal("ward"))
                assert each.who(one.key) == Principal("labs", frozenset({"writer"}))
                assert each.who(two.key) == Principal("labs")
                assert each.who(new_key()) is None
            assert isinstance(await issuer.create("labs", NO_ROLES, None), Refused)
            assert not isinstance(await issuer.revoke(one.stored.id), Refused)
            for each in (first, second):
                assert await each.until(one.key, None) < 5.0
                assert each.who(two.key) == Principal("labs")
            assert isinstance(await issuer.revoke(one.stored.id), Refused)
            await issuer.revoke(two.stored.id)
            await issuer.revoke(other.stored.id)
            assert list(issuer.held()) == []
            await first.until(other.key, None)

    asyncio.run(run(topic(cleanup_policy="compact")))


def test_no_key_stands_for_a_principal_that_a_token_could_name(
    broker: Broker, topic: TopicFactory, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = {"prefix": "corp", "issuer": "https://login.example", "audiences": ("eventbus",)}
    auth = AuthSettings.model_validate({"mode": "several", "methods": ("api_keys", "oidc"), "oidc": (issuer,)})

    async def run(name: str) -> None:
        async with replica(broker.bootstrap, name) as own, replica(broker.bootstrap, name) as following:
            careful = KeyIssuer(own.table, reserved=lambda principal: is_reserved(principal, auth.oidc))
            assert isinstance(await careful.create("corp.caller", NO_ROLES, None), Refused)
            # Nor one that was created before the issuer was configured.
            older = _issued(await KeyIssuer(own.table).create("corp.caller", NO_ROLES, None))
            other = _issued(await careful.create("corporate", NO_ROLES, None))
            keys = StoredKeys(following.table, auth)
            await following.until(lambda table: len(list(table.items())) == 2)
            assert keys.ring(other.key) == Principal("corporate")
            with pytest.raises(Unauthenticated):
                keys.ring(older.key)

    asyncio.run(run(topic(cleanup_policy="compact")))
    assert "the stored keys of corp.caller do not count" in caplog.text


def test_nothing_of_a_key_but_its_hash_is_ever_stored(broker: Broker, topic: TopicFactory) -> None:
    async def run(name: str) -> None:
        async with replica(broker.bootstrap, name) as own:
            issued = _issued(await KeyIssuer(own.table).create("labs", NO_ROLES, None))
            [entry] = own.table.items()
            secret = issued.key.removeprefix(b"eventbus_")
            for at in range(len(secret) - 7):
                assert secret[at : at + 8] not in entry.value
            assert secret.decode() not in f"{issued!r} {issued.stored!r}"

    asyncio.run(run(topic(cleanup_policy="compact")))


def test_a_rotation_keeps_the_roles_and_ends_the_oldest_key_in_time(broker: Broker, topic: TopicFactory) -> None:
    async def run(name: str) -> None:
        async with replica(broker.bootstrap, name) as own, asked(broker.bootstrap, name) as each:
            now = [1_000.0]
            issuer = KeyIssuer(own.table, lambda: now[0])
            assert isinstance(await issuer.rotate("labs", 60.0, None), Refused)
            old = _issued(await issuer.create("labs", frozenset({"writer"}), None))
            new = _issued(await issuer.rotate("labs", 1e12, 2e12))
            assert new.stored.roles == frozenset({"writer"})
            assert [held.key.expires for held in issuer.held()] == [1e12 + 1_000.0, 2e12 + 1_000.0]
            await each.until(new.key, Principal("labs", frozenset({"writer"})))
            assert each.who(old.key) is not None
            assert isinstance(await issuer.rotate("labs", 60.0, None), Refused)
            await issuer.revoke(old.stored.id)
            again = _issued(await issuer.rotate("labs", 0.0, 2e12))
            await each.until(again.key, Principal("labs", frozenset({"writer"})))
            assert each.who(new.key) is None

    asyncio.run(run(topic(cleanup_policy="compact")))


def test_a_rotation_does_not_bring_the_roles_of_an_expired_key_back(broker: Broker, topic: TopicFactory) -> None:
    async def run(name: str) -> None:
        async with replica(broker.bootstrap, name) as own:
            now = [1_000.0]
            issuer = KeyIssuer(own.table, lambda: now[0])
            _issued(await issuer.create("labs", frozenset({"writer"}), None))
            now[0] += 1.0
            _issued(await issuer.create("labs", frozenset({"operator"}), 60.0))
            now[0] += 61.0
            assert _issued(await issuer.rotate("labs", 60.0, None)).stored.roles == frozenset({"writer"})

    asyncio.run(run(topic(cleanup_policy="compact")))


def test_two_who_create_keys_at_the_same_time_end_with_two_live_ones(broker: Broker, topic: TopicFactory) -> None:
    async def run(name: str) -> None:
        async with replica(broker.bootstrap, name) as one, replica(broker.bootstrap, name) as other:
            issuers = [KeyIssuer(one.table), KeyIssuer(other.table)]
            done = await asyncio.gather(
                *(issuer.create("labs", NO_ROLES, None) for issuer in issuers for _ in range(4)),
                return_exceptions=True,
            )
            keys = [each.key for each in done if isinstance(each, Issued)]
            assert all(isinstance(each, Issued | Refused | GatewayError) for each in done), done
            await other.until(lambda table: len(list(KeyIssuer(table).held())) == len(keys))
            assert 1 <= len(keys) <= 2
            assert all(StoredKeys(each.table, AuthSettings()).ring(key) for each in (one, other) for key in keys)

    asyncio.run(run(topic(cleanup_policy="compact")))


def test_keys_that_a_newer_version_wrote_are_neither_accepted_nor_changed(
    broker: Broker, topic: TopicFactory, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(name: str) -> None:
        async with replica(broker.bootstrap, name) as own, asked(broker.bootstrap, name) as each:
            issuer = KeyIssuer(own.table)
            issued = _issued(await issuer.create("labs", NO_ROLES, None))
            await each.until(issued.key, Principal("labs"))
            entry = own.table.get("labs")
            assert entry is not None
            await own.table.put("labs", entry.value.replace(b'"format":1', b'"format":2'))
            await each.until(issued.key, None)
            assert issuer.foreign() == ["labs"]
            assert isinstance(await issuer.create("labs", NO_ROLES, None), Refused)
            assert isinstance(await issuer.revoke(issued.stored.id), Refused)

    with caplog.at_level(logging.ERROR):
        asyncio.run(run(topic(cleanup_policy="compact")))
    assert "not understood" in caplog.text


def test_before_the_table_is_read_its_keys_are_asked_to_come_back(broker: Broker) -> None:
    async def run() -> None:
        async with replica(broker.bootstrap, "test.no-such-topic", wait_seconds=0.0) as own:
            keys = StoredKeys(own.table, AuthSettings())
            with pytest.raises(KafkaUnavailable):
                keys.ring(new_key())
            with pytest.raises(Unauthenticated):
                keys.ring(b"something else")

    asyncio.run(run())
