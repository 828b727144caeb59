"""Who changed what, and who was refused: a line each, and in it no payload and no secret."""

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.api.guarded import AUTH, CLINIC, bearer
from tests.api.managing import PATH, Office, Play, Scenario, office
from tests.api.publishing import publish
from tests.broker import Broker
from tests.conftest import TopicFactory
from tests.serving import Lines, Served, Way, served
from tests.subscriptions.living import run

from eventbus_gateway.api.access_log import AccessLog
from eventbus_gateway.api.audit import Audited, AuditLog, append, audit_line
from eventbus_gateway.api.settings import AuditSettings, TopicSettings
from eventbus_gateway.auth.settings import GrantSettings
from eventbus_gateway.telemetry import Metrics
from eventbus_gateway.webhooks.outlet import SealedVault
from eventbus_gateway.webhooks.sealing import Sealer

WEBHOOK = {"type": "webhook", "url": "https://team.example/hook", "auth": {"type": "bearer", "token": "s3cret-token"}}


@pytest.fixture(scope="module")
def name(topic: TopicFactory) -> str:
    return topic(2)


@pytest.fixture
def play(broker: Broker, table: str) -> Play:
    """Runs a scenario on one replica that can keep secrets."""

    def go(scenario: Scenario) -> None:
        async def alone() -> None:
            vault = SealedVault(Sealer([bytes(range(32))]))
            async with office(broker.bootstrap, table, vault=vault) as own:
                await scenario(own)

        run(alone)

    return go


def told(lines: Lines) -> list[Any]:
    """What was written since the last look."""
    found = [json.loads(line) for line in lines.lines]
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines.lines)
    lines.lines.clear()
    return found


def said(lines: Lines) -> list[tuple[str, str, int]]:
    return [(each["operation"], each["outcome"], each["status"]) for each in told(lines)]


# What is managed


def test_everything_that_changes_a_subscription_is_written_down_once(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        steps: list[tuple[str, str, Any, str, int]] = [
            ("PUT", "/board", {"topics": [name], "delivery": WEBHOOK}, "create", 201),
            ("PUT", "/board", {"topics": [name], "delivery": WEBHOOK, "filter": {"type": ["a"]}}, "change", 200),
            ("POST", "/board/pause", None, "pause", 200),
            ("POST", "/board/resume", None, "resume", 200),
            ("POST", "/board/seek", {"to": "latest"}, "seek", 200),
            ("POST", "/board/redrive", None, "redrive", 202),
            ("POST", "/board/rotate-secret", None, "rotate", 200),
            ("POST", "/board/test", None, "test", 200),
            ("DELETE", "/board", None, "delete", 204),
        ]
        for method, path, body, operation, status in steps:
            await own.call(method, path, body)
            assert said(own.audited) == [(f"subscription.{operation}", "done", status)]

    play(scenario)


def test_a_line_says_who_did_what_to_what_and_when(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        made = await own.call("PUT", "/board", {"topics": [name], "delivery": WEBHOOK})
        assert b"s3cret-token" not in b"".join(own.audited.lines)
        secret = made.document["signingSecret"]
        assert secret.encode() not in b"".join(own.audited.lines)
        (line,) = told(own.audited)
        assert line.pop("request_id").startswith("r")
        assert line == {
            "timestamp": "2023-11-14T22:13:20.000Z",
            "level": "info",
            "message": "audit",
            "operation": "subscription.create",
            "resource": "subscriptions/clinic/board",
            "outcome": "done",
            "principal": "clinic",
            "roles": [],
            "action": "manage",
            "status": 201,
            "code": None,
            "peer": None,
        }

    play(scenario)


def test_looking_and_what_changes_nothing_is_not_written_down(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name)
        told(own.audited)
        nothing: list[tuple[str, str, Any]] = [
            ("GET", "/board", None),
            ("GET", "", None),
            ("GET", "/board/dead-letters", None),
            ("POST", "/bored/pause", None),
            ("PUT", "/board", {"topics": []}),
            ("POST", "/board/seek", {}),
        ]
        for method, path, body in nothing:
            await own.call(method, path, body)
        await own.call("DELETE", "/board", if_match='"0"')
        assert told(own.audited) == []

    play(scenario)


def test_what_an_operator_does_is_written_down_with_whose_it_was(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name)
        own.allow(GrantSettings(principal="nobody", actions=("admin",), topics=("*",)))
        told(own.audited)
        for method, below in (("POST", "/pause"), ("POST", "/resume"), ("DELETE", "")):
            await own.call(method, f"/v1/admin/subscriptions/clinic/board{below}", by="nobody")
        lines = told(own.audited)
        assert [line["operation"].partition(".")[2] for line in lines] == ["pause", "resume", "delete"]
        for line in lines:
            assert (line["principal"], line["action"]) == ("nobody", "admin")
            assert line["resource"] == "subscriptions/clinic/board"

    play(scenario)


def test_what_was_refused_to_a_caller_without_a_grant_is_written_down(play: Play, name: str) -> None:
    async def scenario(own: Office) -> None:
        await own.put("board", name)
        own.allow()
        told(own.audited)
        (await own.call("POST", "/board/seek", {"to": "latest"})).problem(403, "forbidden")
        (line,) = told(own.audited)
        assert (line["operation"], line["outcome"], line["code"]) == ("subscription.seek", "refused", "forbidden")

    play(scenario)


# Refused access


@pytest.mark.parametrize("way", ["protocol", "asgi"])
def test_every_refused_access_is_written_down_with_the_address_it_came_from(way: Way) -> None:
    with served(way=way, auth=AUTH, topics={"appointments": TopicSettings(format="json")}) as gateway:
        publish(gateway, "appointments", {"payload": "s3cret-payload"}, x_api_key="s3cret-key")
        publish(gateway, "keyed", {"payload": "s3cret-payload"}, x_request_id="mine", **bearer(CLINIC))
        gateway.client.get("/v1/topics/keyed/events", headers=bearer(CLINIC))
        gateway.client.get("/v1/nowhere", headers=bearer(CLINIC))
        gateway.client.get(f"{PATH}/board", headers=bearer("wrong"))
        assert publish(gateway, "appointments", {}, **bearer(CLINIC)).status_code == 201
        text = b"".join(gateway.audited.lines)
        assert b"s3cret" not in text
        assert CLINIC.encode() not in text
        unknown, publishes, reads, subscribes = told(gateway.audited)
        assert {line["peer"] for line in (unknown, publishes, reads, subscribes)} == {"127.0.0.1"}
        assert (unknown["principal"], unknown["code"], unknown["status"]) == (None, "unauthenticated", 401)
        assert (publishes["principal"], publishes["code"], publishes["status"]) == ("clinic", "forbidden", 403)
        assert (publishes["action"], publishes["request_id"]) == ("publish", "mine")
        assert (reads["action"], reads["resource"]) == ("read", "topics/keyed")
        assert publishes["operation"] == "POST /v1/topics/{topic}/events"
        assert (subscribes["resource"], subscribes["status"]) == ("subscriptions/?/board", 401)


def test_what_callers_choose_is_cut_and_stays_on_its_line() -> None:
    with served(auth=AUTH) as gateway:
        _ask(gateway, "/v1/topics/" + "x" * 3_000)
        _ask(gateway, "/v1/topics/a%0A%7B%22forged%22:1%7D")
        long, forged = told(gateway.audited)
        assert len(long["resource"]) == 512
        assert forged["resource"] == 'topics/a\n{"forged":1}'


def _ask(gateway: Served, path: str) -> None:
    assert gateway.client.get(path).status_code == 401


# Where the lines go


def _settings(**given: Any) -> AuditSettings:
    return AuditSettings.model_validate(given)


def test_lines_are_appended_to_a_file_that_nobody_else_may_read(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b"before\n")
    path.chmod(0o600)
    unused = AccessLog(1, 65_536, Metrics())

    async def run() -> None:
        log = AuditLog(_settings(file=str(path)), unused, Metrics())
        log.start()
        assert log.audit is not None
        log.audit._sink.write(b"line\n")
        log.stop()

    asyncio.run(run())
    append(_settings(file=str(path)), Audited("key.revoke", "keys/k1", "done"))
    before, line, command = path.read_bytes().splitlines()
    assert (before, line) == (b"before", b"line")
    assert json.loads(command)["operation"] == "key.revoke"
    fresh = tmp_path / "fresh.log"
    append(_settings(file=str(fresh)), Audited("key.create", "keys/k2", "done"))
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o600


def test_without_a_file_lines_go_where_those_of_requests_go() -> None:
    metrics = Metrics()
    common = AccessLog(1, 65_536, metrics)
    log = AuditLog(_settings(), common, metrics)
    assert log.audit is not None
    assert log.audit._sink is common
    assert AuditLog(_settings(enabled=False), common, metrics).audit is None


def test_a_command_without_a_file_writes_to_standard_error(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    append(_settings(), Audited("key.create", "keys/k1", "done", "root"))
    append(_settings(enabled=False), Audited("key.create", "keys/k2", "done", "root"))
    out, err = capfdbinary.readouterr()
    assert out == b""
    assert json.loads(err)["resource"] == "keys/k1"


def test_a_file_that_cannot_be_opened_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"audit\.file cannot be opened"):
        AuditLog(_settings(file=str(tmp_path / "no" / "where")), AccessLog(1, 65_536, Metrics()), Metrics())


def test_a_line_has_all_its_fields_whatever_is_known() -> None:
    line = json.loads(audit_line(Audited("key.create", "keys/k", "done"), 0.0))
    assert set(line) == {"timestamp", "level", "message", *Audited._fields}
    assert line["timestamp"] == "1970-01-01T00:00:00.000Z"
