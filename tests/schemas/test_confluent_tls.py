"""Whom the gateway trusts as its registry, and how it shows who it is."""

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from tests.schemas.registry_server import RegistryServer

from eventbus_gateway.errors import RegistryUnavailable
from eventbus_gateway.schemas.confluent import ConfluentRegistry
from eventbus_gateway.schemas.registry import RegisteredSchema
from eventbus_gateway.schemas.settings import RegistrySettings

ORDER = '{"type": "record", "name": "Order", "fields": []}'


def latest(settings: RegistrySettings) -> RegisteredSchema:
    async def asked() -> RegisteredSchema:
        registry = ConfluentRegistry(settings)
        try:
            return await registry.latest("orders-value")
        finally:
            await registry.aclose()

    return asyncio.run(asked())


class Authority:
    """A certificate authority, a server that it vouches for, and a client."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        self.client_file = str(folder / "client.pem")
        self._authority.cert_pem.write_to_path(self.ca_file)
        self._authority.issue_cert("gateway@example.org").private_key_and_cert_chain_pem.write_to_path(
            self.client_file
        )

    def server(self, *, name: str = "127.0.0.1", wants_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(name).configure_cert(context)
        if wants_client:
            self._authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_a_private_authority_is_trusted_when_it_is_configured(authority: Authority) -> None:
    with RegistryServer(authority.server()) as server:
        server.register("orders-value", ORDER)
        assert latest(RegistrySettings(url=server.url, ca_file=authority.ca_file)).text == ORDER


def test_an_authority_that_is_not_configured_is_not_trusted(authority: Authority) -> None:
    with RegistryServer(authority.server()) as server:
        with pytest.raises(RegistryUnavailable, match="certificate is not trusted"):
            latest(RegistrySettings(url=server.url))
        assert server.seen == []


def test_a_certificate_for_another_name_is_not_trusted(authority: Authority) -> None:
    with RegistryServer(authority.server(name="registry.example.org")) as server:
        with pytest.raises(RegistryUnavailable, match="certificate is not trusted"):
            latest(RegistrySettings(url=server.url, ca_file=authority.ca_file))
        assert server.seen == []


def test_a_client_certificate_opens_a_registry_that_wants_one(authority: Authority) -> None:
    with RegistryServer(authority.server(wants_client=True)) as server:
        server.register("orders-value", ORDER)
        settings = RegistrySettings(url=server.url, ca_file=authority.ca_file)
        with pytest.raises(RegistryUnavailable):
            latest(settings)
        assert server.seen == []
        settings = settings.model_copy(update={"client_certificate_file": authority.client_file})
        assert latest(settings).text == ORDER


@pytest.mark.parametrize("name", ["ca_file", "client_certificate_file"])
def test_a_certificate_file_that_cannot_be_used_is_named_by_its_setting(name: str, tmp_path: Path) -> None:
    unusable = tmp_path / "unusable.pem"
    unusable.write_text("not a certificate")
    for path in (unusable, tmp_path / "absent.pem"):
        with pytest.raises(ValueError, match=rf"registry\.{name} cannot be used"):
            ConfluentRegistry(RegistrySettings.model_validate({"url": "https://127.0.0.1:1", name: str(path)}))


PASSWORD = "s3cret-of-the-key"


def split(authority: Authority, folder: Path, *, encrypted: bool) -> dict[str, str]:
    """The client's certificate and its key as two files, as certificate managers write them."""
    both = Path(authority.client_file).read_bytes()
    start = both.index(b"-----BEGIN CERTIFICATE")
    certificate, key = folder / "tls.crt", folder / "tls.key"
    certificate.write_bytes(both[start:])
    key.write_bytes(_encrypted(both) if encrypted else both[:start])
    return {"client_certificate_file": str(certificate), "client_key_file": str(key)}


def _encrypted(key: bytes) -> bytes:
    secret = BestAvailableEncryption(PASSWORD.encode())
    return load_pem_private_key(key, None).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)


@pytest.mark.parametrize("encrypted", [False, True])
def test_certificate_and_key_can_be_files_of_their_own(authority: Authority, tmp_path: Path, encrypted: bool) -> None:
    files = split(authority, tmp_path, encrypted=encrypted)
    password = {"client_key_password": PASSWORD} if encrypted else {}
    with RegistryServer(authority.server(wants_client=True)) as server:
        server.register("orders-value", ORDER)
        settings = {"url": server.url, "ca_file": authority.ca_file, **files, **password}
        assert latest(RegistrySettings.model_validate(settings)).text == ORDER


def test_a_certificate_of_another_authority_does_not_open_the_registry(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path)
    with RegistryServer(authority.server(wants_client=True)) as server:
        server.register("orders-value", ORDER)
        with pytest.raises(RegistryUnavailable):
            latest(
                RegistrySettings(
                    url=server.url, ca_file=authority.ca_file, client_certificate_file=stranger.client_file
                )
            )
        assert server.seen == []


def test_a_key_of_another_certificate_is_refused_at_once(authority: Authority, tmp_path: Path) -> None:
    files = split(authority, tmp_path, encrypted=False)
    settings = {"url": "https://127.0.0.1:1", **files, "client_key_file": Authority(tmp_path).client_file}
    with pytest.raises(ValueError, match=r"client_certificate_file and registry\.client_key_file cannot be used"):
        ConfluentRegistry(RegistrySettings.model_validate(settings))


@pytest.mark.parametrize("password", [None, "s3cret-of-another-key"])
def test_an_encrypted_key_without_its_password_is_refused_without_asking_for_one(
    authority: Authority, tmp_path: Path, password: str | None
) -> None:
    plain = Path(authority.client_file).read_bytes()
    path = tmp_path / "encrypted.pem"
    path.write_bytes(_encrypted(plain) + plain[plain.index(b"-----BEGIN CERTIFICATE") :])
    settings = {"url": "https://127.0.0.1:1", "client_certificate_file": str(path), "client_key_password": password}
    reason = "unencrypted key" if password is None else "key that client_key_password opens"
    with pytest.raises(ValueError, match=reason) as refused:
        ConfluentRegistry(RegistrySettings.model_validate(settings))
    assert "s3cret" not in str(refused.value)
