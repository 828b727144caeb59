"""How the gateway takes the answers of a registry that is slow, wrong, closed or refuses."""

import asyncio
import gzip
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import orjson
import pytest
from pydantic import SecretStr
from tests.leaks import marked
from tests.schemas.registry_server import RegistryServer
from tests.scripted_server import PATIENCE_SECONDS, Canned, Seen

from eventbus_gateway.errors import RegistryUnavailable, SchemaMissing
from eventbus_gateway.schemas.confluent import ConfluentRegistry
from eventbus_gateway.schemas.registry import Reference, RegisteredSchema
from eventbus_gateway.schemas.settings import RegistrySettings

T = TypeVar("T")

SECRET = marked("a-secret-of-the-tests", "the credentials of a registry")
ORDER = '{"type": "record", "name": "Order", "fields": []}'
GOOD = {"subject": "orders-value", "version": 1, "id": 7, "schema": ORDER}


def latest(settings: RegistrySettings, subject: str = "orders-value") -> RegisteredSchema:
    return ask(settings, lambda registry: registry.latest(subject))


def ask(settings: RegistrySettings, question: Callable[[ConfluentRegistry], Awaitable[T]]) -> T:
    async def asked() -> T:
        registry = ConfluentRegistry(settings)
        try:
            return await question(registry)
        finally:
            await registry.aclose()

    return asyncio.run(asked())


def refusal_of(answer: Canned, **settings: object) -> str:
    """The detail with which an answer to ``latest`` is refused."""
    with RegistryServer() as server:
        server.answer = lambda _: answer
        with pytest.raises(RegistryUnavailable) as refused:
            latest(RegistrySettings.model_validate({"url": server.url, **settings}))
        assert server.url not in refused.value.detail
    return refused.value.detail


def json(document: object, status: int = 200) -> Canned:
    return Canned(status, orjson.dumps(document), {"content-type": "application/json"})


def _always(answer: Canned, _: Seen) -> Canned:
    return answer


WRONG_ANSWERS = {
    "html": Canned(200, b"<html>Welcome</html>", {"content-type": "text/html"}),
    "empty": Canned(200, b""),
    "cut json": Canned(200, orjson.dumps(GOOD)[:-5]),
    "not utf-8": Canned(200, b'{"schema": "\xff"}'),
    "a list": json([GOOD]),
    "null": json(None),
    "no schema": json({**GOOD, "schema": None}),
    "schema as an object": json({**GOOD, "schema": {"type": "string"}}),
    "no id": json({key: value for key, value in GOOD.items() if key != "id"}),
    "id as a string": json({**GOOD, "id": "7"}),
    "id as a boolean": json({**GOOD, "id": True}),
    "id as a float": json({**GOOD, "id": 7.0}),
    "negative id": json({**GOOD, "id": -1}),
    "id beyond 31 bits": json({**GOOD, "id": 2**31}),
    "version zero": json({**GOOD, "version": 0}),
    "version as a string": json({**GOOD, "version": "1"}),
    "no subject": json({**GOOD, "subject": None}),
    "another subject": json({**GOOD, "subject": "others-value"}),
    "a type that is no string": json({**GOOD, "schemaType": 5}),
    "references that are no list": json({**GOOD, "references": {"name": "A"}}),
    "a reference that is no object": json({**GOOD, "references": ["A"]}),
    "a reference without version": json({**GOOD, "references": [{"name": "A", "subject": "a"}]}),
    "no content": Canned(204, b""),
    "server error": Canned(500, b"a stack trace"),
    "bad gateway": Canned(502, b"<html>"),
    "request refused": json({"error_code": 400, "message": "x"}, 400),
    "unknown error code": json({"error_code": 50001, "message": "x"}, 404),
    "error code as a string": json({"error_code": "40401"}, 404),
    "404 of a proxy": Canned(404, b"<html>not here</html>"),
    "404 with a list": json([40401], 404),
    "422": json({"error_code": 42201, "message": "x"}, 422),
    "damaged gzip": Canned(200, b"this is not gzip", {"content-encoding": "gzip"}),
    "cut gzip": Canned(200, gzip.compress(orjson.dumps(GOOD))[:-12], {"content-encoding": "gzip"}),
    "unknown encoding": Canned(200, b"\x01\x02", {"content-encoding": "br"}),
    "answer that ends early": Canned(200, orjson.dumps(GOOD), cut=10),
}


@pytest.mark.parametrize("answer", WRONG_ANSWERS.values(), ids=WRONG_ANSWERS.keys())
def test_a_wrong_answer_makes_the_registry_unavailable(answer: Canned) -> None:
    body = answer.body.decode(errors="replace")
    detail = refusal_of(answer)
    assert detail.startswith(("the schema registry", "there is no schema registry"))
    assert not body or body not in detail


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_told_apart_from_other_failures(status: int) -> None:
    assert "refuses the gateway's credentials" in refusal_of(Canned(status, b"{}"))


def test_a_404_without_the_registrys_error_code_points_to_the_configuration() -> None:
    assert "check registry.url" in refusal_of(Canned(404, b"<html>"))


def test_the_wait_that_the_registry_asks_for_is_passed_on_within_a_minute() -> None:
    with RegistryServer() as server:
        waits = []
        for asked_for in ("7", "100000", "-1", "Wed, 21 Oct 2015 07:28:00 GMT", "99999999999999999999"):
            answer = Canned(429, b"", {"retry-after": asked_for})
            server.answer = partial(_always, answer)
            with pytest.raises(RegistryUnavailable) as refused:
                latest(RegistrySettings(url=server.url))
            waits.append(refused.value.retry_after)
    assert waits == [7.0, 60.0, None, None, 60.0]


def test_a_redirect_is_not_followed() -> None:
    with RegistryServer() as elsewhere, RegistryServer() as server:
        elsewhere.register("orders-value", ORDER)
        location = f"{elsewhere.url}/subjects/orders-value/versions/latest"
        server.answer = lambda _: Canned(302, b"", {"location": location})
        with pytest.raises(RegistryUnavailable, match="redirects") as refused:
            latest(RegistrySettings(url=server.url))
        assert elsewhere.seen == []
    assert elsewhere.url not in refused.value.detail


def test_a_type_and_references_come_with_the_schema() -> None:
    references = [{"name": "com.example.Address", "subject": "address", "version": 3}]
    with RegistryServer() as server:
        server.answer = lambda _: json({**GOOD, "schemaType": "PROTOBUF", "references": references})
        found = latest(RegistrySettings(url=server.url))
    assert found.kind == "PROTOBUF"
    assert found.references == (Reference("com.example.Address", "address", 3),)


def test_a_registry_below_a_context_answers_with_qualified_subjects() -> None:
    with RegistryServer() as server:
        server.answer = lambda _: json({**GOOD, "subject": ":.blue:orders-value"})
        found = latest(RegistrySettings(url=server.url + "/contexts/.blue"))
        assert server.targets == ["/contexts/.blue/subjects/orders-value/versions/latest"]
    assert found.subject == "orders-value"


def test_an_answer_for_another_version_is_not_used() -> None:
    with RegistryServer() as server:
        server.answer = lambda _: json({**GOOD, "version": 2})
        with pytest.raises(RegistryUnavailable, match="another version"):
            ask(RegistrySettings(url=server.url), lambda registry: registry.version("orders-value", 1))


@pytest.mark.parametrize("document", [{}, "x", [1], [None], ["a", 1]])
def test_a_wrong_list_of_subjects_makes_the_registry_unavailable(document: object) -> None:
    with RegistryServer() as server:
        server.answer = lambda _: json(document)
        with pytest.raises(RegistryUnavailable):
            ask(RegistrySettings(url=server.url), lambda registry: registry.subjects())


@pytest.mark.parametrize("document", [{}, [0], ["1"], [True], [2**31]])
def test_a_wrong_list_of_versions_makes_the_registry_unavailable(document: object) -> None:
    with RegistryServer() as server:
        server.answer = lambda _: json(document)
        with pytest.raises(RegistryUnavailable):
            ask(RegistrySettings(url=server.url), lambda registry: registry.versions("orders-value"))


def test_a_subject_whose_versions_are_all_deleted_is_missing() -> None:
    with RegistryServer() as server:
        server.answer = lambda _: json([])
        with pytest.raises(SchemaMissing):
            ask(RegistrySettings(url=server.url), lambda registry: registry.versions("orders-value"))


def test_an_answer_up_to_the_bound_is_read_and_one_byte_more_is_not() -> None:
    with RegistryServer() as server:
        settings = RegistrySettings(url=server.url, max_response_bytes=4_096)
        body = orjson.dumps(GOOD)
        server.answer = lambda _: Canned(200, body.ljust(4_096))
        assert latest(settings).id == 7
        server.answer = lambda _: Canned(200, body.ljust(4_097))
        with pytest.raises(RegistryUnavailable, match="exceeds 4096 bytes"):
            latest(settings)


def test_the_bound_counts_bytes_after_decompression() -> None:
    with RegistryServer() as server:
        settings = RegistrySettings(url=server.url, max_response_bytes=4_096)
        server.compress = True
        server.answer = lambda _: Canned(200, orjson.dumps(GOOD).ljust(4_096))
        assert latest(settings).id == 7
        server.answer = lambda _: Canned(200, orjson.dumps(GOOD).ljust(64 * 1_048_576))
        with pytest.raises(RegistryUnavailable, match="exceeds 4096 bytes"):
            latest(settings)


def test_a_registry_that_does_not_answer_costs_no_more_than_the_timeout() -> None:
    with RegistryServer() as server, server.hold():
        with pytest.raises(RegistryUnavailable, match=r"did not answer within 0\.2 s"):
            latest(RegistrySettings(url=server.url, timeout_seconds=0.2))
        assert len(server.seen) == 1


def test_an_answer_that_trickles_in_is_bounded_as_a_whole() -> None:
    """Each byte arrives within the timeout, the answer does not."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        left = threading.Event()

        def trickle() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
                for _ in range(1_000):
                    if left.wait(0.05):
                        return
                    connection.sendall(b" ")

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        with pytest.raises(RegistryUnavailable, match="did not answer within"):
            latest(RegistrySettings(url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_seconds=0.3))
        left.set()
        thread.join(PATIENCE_SECONDS)


def test_something_that_does_not_speak_http_makes_the_registry_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(b"220 mail.example ESMTP\r\n")

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        with pytest.raises(RegistryUnavailable, match="does not speak HTTP"):
            latest(RegistrySettings(url=f"http://127.0.0.1:{listener.getsockname()[1]}"))
        thread.join(PATIENCE_SECONDS)


def test_calls_beyond_the_connections_wait_for_their_turn() -> None:
    async def asked() -> None:
        with RegistryServer() as server:
            server.register("orders-value", ORDER)
            registry = ConfluentRegistry(RegistrySettings(url=server.url, max_connections=2))
            try:
                with server.hold():
                    calls = [asyncio.create_task(registry.latest("orders-value")) for _ in range(6)]
                    await asyncio.to_thread(server.wait_for_requests, 2)
                    # All six have been begun; were there a third connection, its request would be on its way.
                    assert len(server.seen) == 2
                assert {found.id for found in await asyncio.gather(*calls)} == {1}
                assert len(server.seen) == 6
            finally:
                await registry.aclose()

    asyncio.run(asked())


def test_basic_credentials_are_sent() -> None:
    with RegistryServer(authorization="Basic Z2F0ZXdheTphLXNlY3JldC1vZi10aGUtdGVzdHM=") as server:
        server.register("orders-value", ORDER)
        settings = RegistrySettings(url=server.url, username="gateway", password=SecretStr(SECRET))
        assert latest(settings).text == ORDER


def test_a_bearer_token_is_sent() -> None:
    with RegistryServer(authorization=f"Bearer {SECRET}") as server:
        server.register("orders-value", ORDER)
        assert latest(RegistrySettings(url=server.url, bearer_token=SecretStr(SECRET))).text == ORDER


@pytest.mark.parametrize(
    "credentials", [{"username": "gateway", "password": SECRET}, {"bearer_token": SECRET}], ids=["basic", "bearer"]
)
def test_wrong_credentials_are_refused_without_being_told(credentials: dict[str, str]) -> None:
    with RegistryServer(authorization="Bearer another") as server:
        with pytest.raises(RegistryUnavailable, match="refuses the gateway's credentials") as refused:
            latest(RegistrySettings.model_validate({"url": server.url, **credentials}))
        assert len(server.seen) == 1
    assert SECRET not in repr(refused.value)


def test_a_token_that_no_header_can_carry_is_not_told() -> None:
    with RegistryServer() as server:
        with pytest.raises(RegistryUnavailable) as refused:
            latest(RegistrySettings(url=server.url, bearer_token=SecretStr(SECRET + "\r\nx: y")))
        assert server.seen == []
    assert SECRET not in refused.value.detail


def test_credentials_in_the_url_are_refused_without_being_told() -> None:
    with pytest.raises(ValueError, match=r"registry\.username") as refused:
        ConfluentRegistry(RegistrySettings(url=f"http://gateway:{SECRET}@127.0.0.1:1"))
    assert SECRET not in str(refused.value)


def test_a_registry_without_a_url_cannot_be_made() -> None:
    with pytest.raises(ValueError, match=r"registry\.url"):
        ConfluentRegistry(RegistrySettings())


def test_proxies_of_the_environment_are_not_used() -> None:
    """The variables are read when a client is made; a child process has them without changing this one."""
    program = (
        "import asyncio, sys\n"
        "from eventbus_gateway.schemas.confluent import ConfluentRegistry\n"
        "from eventbus_gateway.schemas.settings import RegistrySettings\n"
        "registry = ConfluentRegistry(RegistrySettings(url=sys.argv[1]))\n"
        "print(asyncio.run(registry.latest('orders-value')).id)\n"
    )

    async def run(url: str, proxy: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, url),
            env={"HTTP_PROXY": proxy, "ALL_PROXY": proxy},
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
        return output

    with RegistryServer() as server, RegistryServer() as proxy:
        server.register("orders-value", ORDER)
        assert asyncio.run(run(server.url, proxy.url)) == b"1\n"
        assert proxy.seen == []
