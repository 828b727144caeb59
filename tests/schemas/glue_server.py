"""AWS Glue over real HTTP: moto's server, behind a front that a test can watch and that knows what moto does not.

Moto has no lists of schemas and versions, and every version that it has is available: both are the front's.
"""

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Self
from uuid import uuid4

import orjson
from botocore.session import Session
from moto.server import ThreadedMotoServer
from tests.schemas.registry_server import RegistryServer
from tests.scripted_server import Canned, Seen

from eventbus_gateway.schemas.settings import RegistrySettings

REGION = "eu-central-1"
ACCESS_KEY = "AKIAOFTHEGATEWAYITSELF"
SECRET_KEY = "s3cret-of-the-gateway-itself"
PAGE = 2


@cache
def own_session() -> Session:
    """A session whose credentials do not come from this machine; one for all, as it reads AWS's models again each."""
    session = Session()
    session.set_credentials(ACCESS_KEY, SECRET_KEY)
    return session


@cache
def _admin(host: str, port: int) -> Any:
    return own_session().create_client("glue", region_name=REGION, endpoint_url=f"http://{host}:{port}")


@contextmanager
def moto() -> Iterator[tuple[str, int]]:
    """Moto's server, by host and port."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()
    finally:
        server.stop()


class AwsServer:
    """One registry in Glue, with STS at the same address.

    Args:
        backend: moto's host and port.
        tls: how the front proves who it is; plain HTTP when None.
    """

    def __init__(self, backend: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        self.front = RegistryServer(tls)
        self.front.answer = self._answer
        self.registry = f"registry-{uuid4()}"
        self.statuses: dict[tuple[str, int], str] = {}
        self.canned: dict[str, Canned] = {}
        self._backend = backend
        self._versions: dict[str, int] = {}
        self._moto = _admin(*backend)
        self._moto.create_registry(RegistryName=self.registry)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.front.__exit__()
        self._moto.delete_registry(RegistryId={"RegistryName": self.registry})  # moto takes ten of them

    def settings(self, **others: Any) -> RegistrySettings:
        """How a gateway finds it."""
        values = {
            "kind": "glue",
            "aws_region": REGION,
            "aws_endpoint_url": self.front.url,
            "glue_registry": self.registry,
        }
        return RegistrySettings.model_validate({**values, **others})

    def register(self, name: str, text: str, status: str = "AVAILABLE") -> str:
        """Add a version to a schema; its UUID."""
        number = self._versions[name] = self._versions.get(name, 0) + 1
        self.statuses[name, number] = status
        where = {"RegistryName": self.registry, "SchemaName": name}
        if number > 1:
            return str(self._moto.register_schema_version(SchemaId=where, SchemaDefinition=text)["SchemaVersionId"])
        made = self._moto.create_schema(
            RegistryId={"RegistryName": self.registry},
            SchemaName=name,
            DataFormat="AVRO",
            Compatibility="NONE",
            SchemaDefinition=text,
        )
        return str(made["SchemaVersionId"])

    def calls(self) -> list[str]:
        """The operations that were asked for."""
        return [seen.headers["x-amz-target"].partition(".")[2] for seen in self.front.seen if _target(seen)]

    def _answer(self, seen: Seen) -> Canned:
        operation = _target(seen)
        canned = self.canned.get(operation)
        if canned is not None:
            return canned
        if operation == "ListSchemaVersions":
            return self._list_versions(orjson.loads(seen.body))
        if operation == "ListSchemas":
            names = [{"SchemaName": name, "SchemaStatus": "AVAILABLE"} for name in self._versions]
            return _page(names, orjson.loads(seen.body))
        return self._with_status(self._forwarded(seen))

    def _list_versions(self, asked: dict[str, Any]) -> Canned:
        name = asked["SchemaId"]["SchemaName"]
        if name not in self._versions:
            return fault("EntityNotFoundException")
        numbers = range(1, self._versions[name] + 1)
        return _page([{"VersionNumber": number, "Status": self.statuses[name, number]} for number in numbers], asked)

    def _with_status(self, answer: Canned) -> Canned:
        document = orjson.loads(answer.body) if answer.status == 200 and answer.body[:1] == b"{" else {}
        name = str(document.get("SchemaArn")).rpartition("/")[2]
        status = self.statuses.get((name, document.get("VersionNumber", 0)))
        if status is None:
            return answer
        return Canned(200, orjson.dumps({**document, "Status": status}), answer.headers)

    def _forwarded(self, seen: Seen) -> Canned:
        connection = http.client.HTTPConnection(*self._backend, timeout=20)
        try:
            headers = {name: value for name, value in seen.headers.items() if name != "host"}
            connection.request(seen.method, seen.target, seen.body, headers)
            answer = connection.getresponse()
            kind = answer.getheader("content-type", "")
            return Canned(answer.status, answer.read(), {"content-type": kind})
        finally:
            connection.close()


def fault(code: str, status: int = 400) -> Canned:
    """An error as Glue answers it."""
    body = orjson.dumps({"__type": code, "Message": "s3cret words of AWS"})
    return Canned(status, body, {"content-type": "application/x-amz-json-1.1"})


def _target(seen: Seen) -> str:
    return seen.headers.get("x-amz-target", "").partition(".")[2]


def _page(items: list[dict[str, Any]], asked: dict[str, Any]) -> Canned:
    start = int(asked.get("NextToken", "0"))
    document: dict[str, Any] = {"Schemas": items[start : start + PAGE]}
    if start + PAGE < len(items):
        document["NextToken"] = str(start + PAGE)
    return Canned(200, orjson.dumps(document), {"content-type": "application/x-amz-json-1.1"})
