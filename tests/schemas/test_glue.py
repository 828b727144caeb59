"""What is particular to AWS Glue: names, states of versions, roles, bounds, and what is said when it fails."""

import asyncio
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import orjson
import pytest
import trustme
from botocore.credentials import CredentialResolver
from botocore.session import Session
from tests.schemas.bench import Clock, record
from tests.schemas.glue_server import ACCESS_KEY, REGION, AwsServer, fault, own_session
from tests.scripted_server import PATIENCE_SECONDS, Canned

from eventbus_gateway.errors import RegistryUnavailable, SchemaMissing, UnknownSchemaVersion
from eventbus_gateway.schemas.cache import CodecOptions, Schemas
from eventbus_gateway.schemas.glue import GlueRegistry
from eventbus_gateway.schemas.opening import registry as opened
from eventbus_gateway.schemas.settings import RegistrySettings

ORDER = record("id")
WIDER = record("id", "note")
ROLE = "arn:aws:iam::123456789012:role/schemas"


@pytest.fixture
def glue(aws: tuple[str, int]) -> Iterator[AwsServer]:
    """A registry that is up, with a schema."""
    with AwsServer(aws) as server:
        server.register("orders", ORDER)
        yield server


def asked(
    glue: AwsServer,
    question: Callable[[GlueRegistry], Awaitable[Any]],
    session: Session | None = None,
    **settings: Any,
) -> Any:
    async def run() -> Any:
        registry = GlueRegistry(glue.settings(**settings), session or own_session())
        try:
            return await question(registry)
        finally:
            await registry.aclose()

    return asyncio.run(run())


def refused(glue: AwsServer, session: Session | None = None, **settings: Any) -> str:
    with pytest.raises(RegistryUnavailable) as error:
        asked(glue, lambda registry: registry.latest("orders-value"), session, **settings)
    assert "s3cret" not in str(error.value)
    return error.value.detail


# Names


def test_schemas_are_called_like_topics_or_like_subjects(glue: AwsServer) -> None:
    glue.register("visits-value", WIDER)
    by_topic = asked(glue, lambda registry: registry.latest("orders-value"))
    assert (by_topic.subject, by_topic.text) == ("orders-value", ORDER)
    by_subject = asked(glue, lambda registry: registry.latest("visits-value"), glue_schema_names="subject")
    assert (by_subject.subject, by_subject.text) == ("visits-value", WIDER)
    with pytest.raises(SchemaMissing):
        asked(glue, lambda registry: registry.latest("orders-value"), glue_schema_names="subject")
    listed = asked(glue, lambda registry: registry.subjects(), glue_schema_names="subject")
    assert listed == ["orders", "visits-value"]


def test_a_registry_that_does_not_exist_has_no_schema(glue: AwsServer) -> None:
    with pytest.raises(SchemaMissing):
        asked(glue, lambda registry: registry.latest("orders-value"), glue_registry="another")


def test_all_pages_of_a_list_are_read(glue: AwsServer) -> None:
    for number in range(4):
        glue.register("orders", record(f"field{number}"))
    assert asked(glue, lambda registry: registry.versions("orders-value")) == [1, 2, 3, 4, 5]
    assert glue.calls() == ["ListSchemaVersions"] * 3


# States of versions


@pytest.mark.parametrize("status", ["PENDING", "FAILURE", "DELETING"])
def test_a_version_that_is_not_available_is_not_there(glue: AwsServer, status: str) -> None:
    glue.register("orders", WIDER, status)
    latest = asked(glue, lambda registry: registry.latest("orders-value"))
    assert (latest.version, latest.text) == (1, ORDER)
    assert asked(glue, lambda registry: registry.versions("orders-value")) == [1]
    with pytest.raises(UnknownSchemaVersion):
        asked(glue, lambda registry: registry.version("orders-value", 2))


def test_a_subject_without_an_available_version_is_missing(glue: AwsServer) -> None:
    glue.register("visits", WIDER, "FAILURE")
    with pytest.raises(SchemaMissing):
        asked(glue, lambda registry: registry.latest("visits-value"))


def test_records_stay_readable_while_their_version_is_being_deleted(glue: AwsServer) -> None:
    version = UUID(glue.register("orders", WIDER, "DELETING"))
    assert asked(glue, lambda registry: registry.by_id(version)).text == WIDER


@pytest.mark.parametrize(
    "change",
    [
        {"SchemaArn": "arn:aws:glue:eu-central-1:123456789012:schema/events/visits"},
        {"SchemaVersionId": "no uuid"},
        {"VersionNumber": 0},
        {"SchemaDefinition": None},
    ],
)
def test_an_answer_about_something_else_is_no_answer(glue: AwsServer, change: dict[str, Any]) -> None:
    sound = {
        "SchemaArn": f"arn:aws:glue:eu-central-1:123456789012:schema/{glue.registry}/orders",
        "SchemaVersionId": str(UUID(int=7)),
        "VersionNumber": 1,
        "SchemaDefinition": ORDER,
        "Status": "AVAILABLE",
    }
    glue.canned["GetSchemaVersion"] = Canned(body=orjson.dumps(sound))
    assert asked(glue, lambda registry: registry.latest("orders-value")).text == ORDER
    glue.canned["GetSchemaVersion"] = Canned(body=orjson.dumps({**sound, **change}))
    refused(glue)
    with pytest.raises(RegistryUnavailable):
        asked(glue, lambda registry: registry.by_id(UUID(int=8)))


def test_a_text_that_glue_does_not_take_for_a_schema_is_no_version(glue: AwsServer) -> None:
    glue.canned["GetSchemaByDefinition"] = fault("InvalidInputException")
    with pytest.raises(UnknownSchemaVersion):
        asked(glue, lambda registry: registry.find("orders-value", "no schema"))
    with pytest.raises(SchemaMissing):
        asked(glue, lambda registry: registry.find("nothing-value", "no schema"))
    glue.canned["GetSchemaVersion"] = fault("InvalidInputException")
    refused(glue)


# Who is calling


def _keys(glue: AwsServer) -> list[tuple[str, str]]:
    """Access key and region of every request."""
    scopes = [seen.headers["authorization"].partition("Credential=")[2].split("/") for seen in glue.front.seen]
    return [(scope[0], scope[2]) for scope in scopes]


def test_the_gateways_own_credentials_sign_each_call(glue: AwsServer) -> None:
    asked(glue, lambda registry: registry.latest("orders-value"))
    assert _keys(glue) == [(ACCESS_KEY, REGION)]


def test_a_role_is_assumed_once_under_a_name_that_does_not_change(glue: AwsServer) -> None:
    settings: dict[str, Any] = {
        "aws_role_arn": ROLE,
        "aws_external_id": "s3cret-external-id",
        "aws_sts_region": "us-gov-west-1",
        "aws_sts_endpoint_url": glue.front.url,
    }

    async def twice(registry: GlueRegistry) -> None:
        await registry.latest("orders-value")
        await registry.versions("orders-value")

    asked(glue, twice, **settings)
    [(own, sts_region), (assumed, glue_region), again] = _keys(glue)
    assert (own, sts_region, glue_region) == (ACCESS_KEY, "us-gov-west-1", REGION)
    assert assumed != own
    assert again == (assumed, glue_region)
    body = parse_qs(glue.front.seen[0].body.decode())
    assert body["RoleArn"] == [ROLE]
    assert body["RoleSessionName"] == ["eventbus-gateway"]
    assert body["ExternalId"] == ["s3cret-external-id"]


def test_without_credentials_that_is_what_is_said(glue: AwsServer) -> None:
    session = Session()
    session.register_component("credential_provider", CredentialResolver([]))
    for role in (None, ROLE):
        assert "no AWS credentials were found" in refused(glue, session, aws_role_arn=role)
    assert glue.front.seen == []


def test_a_region_that_nobody_names_is_a_fault_of_the_configuration(glue: AwsServer) -> None:
    session = Session(session_vars={"region": (None, None, None, None)})
    with pytest.raises(ValueError, match=r"registry\.aws_region is missing"):
        GlueRegistry(RegistrySettings(kind="glue"), session)


def test_a_profile_that_does_not_exist_is_a_fault_of_the_configuration(glue: AwsServer) -> None:
    with pytest.raises(ValueError, match=r"registry\.aws_profile is not a profile"):
        GlueRegistry(glue.settings(aws_profile="nobody-has-this-profile"))


def test_glue_without_the_extra_says_what_to_install() -> None:
    program = """
import sys
sys.modules["botocore"] = None
from eventbus_gateway.schemas.opening import registry
from eventbus_gateway.schemas.settings import RegistrySettings
try:
    registry(RegistrySettings(kind="glue", aws_region="eu-central-1"))
except ValueError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == 'registry.kind glue needs the extra "aws": install eventbus-gateway[aws]\n'


def test_the_configuration_opens_it(glue: AwsServer) -> None:
    registry = opened(glue.settings())
    assert isinstance(registry, GlueRegistry)
    asyncio.run(registry.aclose())


# Bounds and failures


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (fault("AccessDeniedException"), "AWS refuses the gateway's credentials for GetSchemaVersion"),
        (fault("ThrottlingException"), "AWS limits the gateway's requests"),
        (fault("InternalServiceException", 500), "AWS Glue answered GetSchemaVersion with InternalServiceException"),
        (fault("s3cret words!"), "AWS Glue answered GetSchemaVersion with an error"),
        (Canned(200, b"x" * 5_000), "its answer exceeds 4096 bytes"),
        (Canned(200, b"s3cret: no JSON"), "does not say whether the version is available"),
        (Canned(200, b"{}" * 100, cut=100), "the connection failed"),
    ],
)
def test_what_is_of_no_use_is_unavailable_and_not_repeated_in_the_error(
    glue: AwsServer, answer: Canned, reason: str
) -> None:
    glue.canned["GetSchemaVersion"] = answer
    assert reason in refused(glue, max_response_bytes=4_096)


def test_an_endpoint_of_a_private_authority_is_trusted_when_that_is_configured(
    aws: tuple[str, int], tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    with AwsServer(aws, tls) as glue:
        glue.register("orders", ORDER)
        assert "TLS failed, or its certificate is not trusted" in refused(glue)
        assert glue.front.seen == []
        ca_file = str(tmp_path / "ca.pem")
        assert asked(glue, lambda registry: registry.latest("orders-value"), ca_file=ca_file).text == ORDER


def test_a_registry_that_is_down_is_unavailable_until_it_is_up(glue: AwsServer) -> None:
    async def question(registry: GlueRegistry) -> None:
        glue.front.down()
        with pytest.raises(RegistryUnavailable, match="the connection failed"):
            await registry.latest("orders-value")
        glue.front.up()
        assert (await registry.latest("orders-value")).version == 1
        # The connection in the pool is dead now, which must not cost a failed call.
        glue.front.down()
        glue.front.up()
        assert (await registry.latest("orders-value")).version == 1

    asked(glue, question)


def test_calls_that_hang_are_given_up_and_begin_no_further_ones(glue: AwsServer) -> None:
    async def question(registry: GlueRegistry) -> None:
        await registry.latest("orders-value")
        with glue.front.hold():
            attempts = [registry.latest("orders-value") for _ in range(6)]
            outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["AWS Glue did not answer within 0.5 s"] * 6
        end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            try:
                await registry.latest("orders-value")
                break
            except RegistryUnavailable:
                assert asyncio.get_running_loop().time() < end

    asked(glue, question, timeout_seconds=0.5, max_connections=2)


# Through the cache, as publishing and reading use it


async def _settled(schemas: Schemas) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while schemas.stats().refreshing:
        assert time.monotonic() < end
        await asyncio.sleep(0)


def test_one_flight_for_all_and_stale_on_failure_as_for_every_registry(glue: AwsServer) -> None:
    async def run() -> None:
        settings = glue.settings(timeout_seconds=2)
        clock = Clock()
        schemas = Schemas(GlueRegistry(settings, own_session()), settings, clock=clock)
        options = CodecOptions()
        try:
            first, *others = await asyncio.gather(*(schemas.get("orders-value", None, options) for _ in range(9)))
            assert all(other is first for other in others)
            assert glue.calls() == ["GetSchemaVersion"]
            clock.now += settings.latest_ttl_seconds
            glue.canned["GetSchemaVersion"] = fault("InternalServiceException", 500)
            assert schemas.ready("orders-value", None, options) is first
            await _settled(schemas)
            assert schemas.stats().stale == 1
            assert await schemas.get("orders-value", None, options) is first
            del glue.canned["GetSchemaVersion"]
            glue.register("orders", WIDER)
            clock.now += settings.latest_ttl_seconds
            assert schemas.ready("orders-value", None, options) is first
            await _settled(schemas)
            newer = schemas.ready("orders-value", None, options)
            assert newer is not None
            assert (newer.version, newer.text) == (2, WIDER)
            # An id means the same for ever: it is asked for once.
            before = len(glue.calls())
            assert isinstance(first.id, UUID)
            for _ in range(3):
                assert (await schemas.by_id(first.id, options)).text == ORDER
            assert len(glue.calls()) == before + 1
        finally:
            await schemas.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("compression", ["none", "zlib"])
def test_events_are_written_in_glues_framing(glue: AwsServer, compression: str) -> None:
    async def run() -> None:
        settings = glue.settings(glue_compression=compression)
        schemas = Schemas(GlueRegistry(settings, own_session()), settings)
        try:
            schema = await schemas.get("orders-value", None, CodecOptions())
            stored = schema.codec.encode({"id": "a" * 500})
            assert isinstance(schema.id, UUID)
            lead = b"\x03\x05" if compression == "zlib" else b"\x03\x00"
            assert stored[:18] == lead + schema.id.bytes
            unpack = schemas.framing.unpack(stored[:18])
            data = stored[18:] if unpack is None else unpack(stored)
            assert (len(stored) < 100) == (compression == "zlib")
            assert schema.codec.decode(data) == {"id": "a" * 500}
        finally:
            await schemas.aclose()

    asyncio.run(run())
