"""TLS and SASL against a real broker, through the clients that the gateway uses."""

import asyncio
import logging
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from tests.broker.security import KEY_PASSWORD, PASSWORD, SecureBroker, secure_broker
from tests.kafka.support import Incidents, producing, read_log
from tests.kafka.test_reader import reading

from eventbus_gateway.errors import GatewayError, InternalError, KafkaUnavailable
from eventbus_gateway.kafka.reading import Ask, Edge
from eventbus_gateway.kafka.records import Record, Stored

pytestmark = pytest.mark.broker

_numbers = count()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    with secure_broker(tmp_path_factory.mktemp("certificates")) as one:
        yield one


@pytest.fixture
def name(secured: SecureBroker) -> str:
    name = f"secure-{next(_numbers)}"
    secured.broker.create_topic(name, 2)
    return name


def _sasl(secured: SecureBroker, mechanism: str) -> dict[str, Any]:
    return {
        "bootstrap": secured.sasl,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_username": "gateway",
        "sasl_password": PASSWORD,
        "ca_file": str(secured.certificates.ca),
    }


def _tls(secured: SecureBroker) -> dict[str, Any]:
    ca = str(secured.certificates.ca)
    return {"bootstrap": secured.tls, "security_protocol": "SSL", "ca_file": ca}


def _mutual(secured: SecureBroker) -> dict[str, Any]:
    certificates = secured.certificates
    return {
        **_tls(secured),
        "bootstrap": secured.mutual,
        "client_certificate_file": str(certificates.client),
        "client_key_file": str(certificates.client_key),
        "client_key_password": KEY_PASSWORD,
    }


def _ways(secured: SecureBroker) -> dict[str, dict[str, Any]]:
    return {
        "plain": _sasl(secured, "PLAIN"),
        "scram-256": _sasl(secured, "SCRAM-SHA-256"),
        "scram-512": _sasl(secured, "SCRAM-SHA-512"),
        "tls": _tls(secured),
        "mutual": _mutual(secured),
    }


@pytest.mark.parametrize("way", ["plain", "scram-256", "scram-512", "tls", "mutual"])
def test_what_is_published_over_a_secured_connection_is_read_over_one(
    way: str, secured: SecureBroker, name: str
) -> None:
    settings = _ways(secured)[way]

    async def run() -> list[bytes | None]:
        async with producing(**settings) as sink, reading(**settings) as reader:
            records = [Record(f"key-{n}".encode(), f"value-{n}".encode(), []) for n in range(20)]
            assert all(isinstance(outcome, Stored) for outcome in await sink.send(name, records))
            found: list[bytes | None] = []
            start: Any = Edge.EARLIEST
            while len(found) < len(records):
                page = await reader.read(Ask(name, start, 2, 100, 1_000_000, 10.0))
                found += [record.value for record in page.records]
                start = page.positions
            return found

    assert sorted(asyncio.run(run()), key=str) == sorted((f"value-{n}".encode() for n in range(20)), key=str)


def _refused(secured: SecureBroker) -> dict[str, dict[str, Any]]:
    certificates = secured.certificates
    stranger = {
        "client_certificate_file": str(certificates.stranger),
        "client_key_file": str(certificates.stranger_key),
        "client_key_password": None,
    }
    return {
        "wrong password (PLAIN)": {**_sasl(secured, "PLAIN"), "sasl_password": "s3cret-but-wrong"},
        "wrong password (SCRAM)": {**_sasl(secured, "SCRAM-SHA-512"), "sasl_password": "s3cret-but-wrong"},
        "unknown user": {**_sasl(secured, "SCRAM-SHA-256"), "sasl_username": "nobody"},
        "an authority that did not sign": {**_tls(secured), "ca_file": str(certificates.other_ca)},
        "a certificate for another name": {
            **_tls(secured),
            "bootstrap": secured.tls.replace("localhost", "127.0.0.1"),
        },
        "no client certificate": {**_tls(secured), "bootstrap": secured.mutual},
        "a stranger's client certificate": {**_mutual(secured), **stranger},
    }


@pytest.mark.parametrize(
    "case",
    [
        "wrong password (PLAIN)",
        "wrong password (SCRAM)",
        "unknown user",
        "an authority that did not sign",
        "a certificate for another name",
        "no client certificate",
        "a stranger's client certificate",
    ],
)
def test_who_cannot_prove_who_it_is_publishes_and_reads_nothing(
    case: str, secured: SecureBroker, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {**_refused(secured)[case], "metadata_timeout_seconds": 0.5}
    incidents = Incidents()

    async def run() -> None:
        async with producing(**settings, on_event=incidents) as sink:
            await incidents.until("down")
            with pytest.raises(KafkaUnavailable):
                sink.send(name, [Record(b"key", b"value", [])])
            async with reading(**settings) as reader:
                with pytest.raises(GatewayError):
                    await reader.read(Ask(name, Edge.EARLIEST, 2, 100, 1_000_000, 0.0))

    with caplog.at_level(logging.DEBUG):
        asyncio.run(run())
    assert PASSWORD not in caplog.text
    assert "s3cret" not in caplog.text
    assert read_log(secured.broker.bootstrap, name) == []


def test_a_key_that_its_password_does_not_open_is_told_at_the_start(secured: SecureBroker) -> None:
    settings = {**_mutual(secured), "client_key_password": "s3cret-but-wrong"}

    async def run() -> None:
        async with producing(**settings):
            pass

    with pytest.raises(InternalError) as error:
        asyncio.run(run())
    assert "configuration" in str(error.value)
    assert "s3cret" not in str(error.value)
