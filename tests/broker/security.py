"""Listeners with TLS and SASL beside a broker's plain one, from a private certificate authority."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import trustme
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._scram import (
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from tests.broker.ports import free_port
from tests.broker.process import Broker, Node, new_node

PASSWORD = "s3cret-of-the-test"
"""What all users of all mechanisms sign in with."""
KEY_PASSWORD = "s3cret-key"
USERS = ("gateway", "limited")
_SCRAM = {"SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256, "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512}


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM.

    Args:
        ca: the private authority.
        other_ca: an authority that has signed nothing.
        client: a client's certificate.
        client_key: its key, encrypted with ``KEY_PASSWORD``.
        stranger: a certificate of the other authority.
        stranger_key: its key, not encrypted.
        server: key and certificate of the broker.
    """

    ca: Path
    other_ca: Path
    client: Path
    client_key: Path
    stranger: Path
    stranger_key: Path
    server: Path


def make_certificates(folder: Path) -> Certificates:
    """A private authority, a broker's and a client's certificate, and those of somebody else."""
    found = Certificates(*(folder / f"{name}.pem" for name in Certificates.__slots__))
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(str(found.ca))
    other.cert_pem.write_to_path(str(found.other_ca))
    server = ca.issue_cert("localhost")
    client, stranger = ca.issue_cert("gateway@example.org"), other.issue_cert("gateway@example.org")
    found.server.write_bytes(_key(server) + _chain(server))
    found.client.write_bytes(_chain(client))
    found.client_key.write_bytes(_key(client, KEY_PASSWORD))
    found.stranger.write_bytes(_chain(stranger))
    found.stranger_key.write_bytes(_key(stranger))
    return found


@dataclass(frozen=True, slots=True)
class SecureBroker:
    """A broker and the addresses of its listeners.

    Args:
        broker: the broker, whose own address is the plain one.
        certificates: who trusts whom.
        tls: TLS; the client stays unknown.
        mutual: TLS; the client shows a certificate.
        sasl: SASL over TLS: PLAIN and SCRAM.
        behind: a plain one, which tells clients that it is at ``front``.
        front: where a test puts something between clients and ``behind``.
    """

    broker: Broker
    certificates: Certificates
    tls: str
    mutual: str
    sasl: str
    behind: int
    front: int


@contextlib.contextmanager
def secure_broker(folder: Path, config: Mapping[str, str] | None = None) -> Iterator[SecureBroker]:
    """A running broker with all listeners.

    Args:
        folder: where certificates go.
        config: further broker properties.
    """
    certificates = make_certificates(folder)
    node = new_node(0)
    ports = {"TLS": free_port(), "MUTUAL": free_port(), "SASL": free_port(), "BEHIND": free_port()}
    front = free_port()
    properties = {**_listeners(node, ports, front), **_trust(certificates), **_sasl(), **(config or {})}
    with Broker(properties, node=node) as broker:
        _add_users(broker.admin)
        tls, mutual, sasl = (f"localhost:{ports[name]}" for name in ("TLS", "MUTUAL", "SASL"))
        yield SecureBroker(broker, certificates, tls, mutual, sasl, ports["BEHIND"], front)


def _listeners(node: Node, ports: Mapping[str, int], front: int) -> dict[str, str]:
    plain = f"PLAINTEXT://127.0.0.1:{node.port}"
    more = {name: f"{name}://127.0.0.1:{port}" for name, port in ports.items()}
    told = {name: f"{name}://localhost:{front if name == 'BEHIND' else port}" for name, port in ports.items()}
    return {
        "listeners": ",".join([plain, f"CONTROLLER://127.0.0.1:{node.controller_port}", *more.values()]),
        "advertised.listeners": ",".join([plain, *told.values()]),
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,MUTUAL:SSL,SASL:SASL_SSL,BEHIND:PLAINTEXT"
        ),
        "listener.name.mutual.ssl.client.auth": "required",
    }


def _trust(certificates: Certificates) -> dict[str, str]:
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(certificates.server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.ca),
    }


def _sasl() -> dict[str, str]:
    kafka = "org.apache.kafka.common.security"
    users = " ".join(f'user_{name}="{PASSWORD}"' for name in USERS)
    scram = f"{kafka}.scram.ScramLoginModule required;"
    return {
        "sasl.enabled.mechanisms": ",".join(["PLAIN", *_SCRAM]),
        "listener.name.sasl.plain.sasl.jaas.config": f"{kafka}.plain.PlainLoginModule required {users};",
        **{f"listener.name.sasl.{name.lower()}.sasl.jaas.config": scram for name in _SCRAM},
    }


def _add_users(admin: AdminClient) -> None:
    for kind in _SCRAM.values():
        added: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(user, ScramCredentialInfo(kind, 4096), PASSWORD.encode()) for user in USERS
        ]
        for answer in admin.alter_user_scram_credentials(added).values():
            answer.result(30)


def _chain(leaf: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in leaf.cert_chain_pems)


def _key(leaf: trustme.LeafCert, password: str | None = None) -> bytes:
    # PKCS 8 is the only form that Kafka reads.
    key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    hidden = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden)
