"""The load that locust makes finds nothing wrong with the gateway, and tells a single event that is lost."""

import ast
import http.client
import re
import threading
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from loadtests.loading import before_broker
from loadtests.processes import listening
from loadtests.swarm import PROFILES, ROOT, Broken, Plan, command, swarm
from tests.broker import Broker
from tests.scripted_server import Canned, ScriptedServer, Seen

_HOP = frozenset({"connection", "content-length", "transfer-encoding", "date", "server"})
_LIE = b'{"id":"x","topic":"visits","partition":0,"offset":0,"timestamp":"2026-01-01T00:00:00.000Z","schemaId":1}'
_PATIENCE = 30.0


class Dropping(ScriptedServer):
    """A proxy that answers the first request of a kind itself, as a success, and passes everything else on.

    Args:
        upstream: address of whom it stands for.
        begins: target of the requests of which it drops the first.
        ends: the end of it.
        lie: what it says then.
    """

    def __init__(self, upstream: str, begins: str, ends: str, lie: Canned) -> None:
        self._upstream = urlsplit(upstream).netloc
        self._kind = begins, ends
        self._lie = lie
        self._lock = threading.Lock()
        self.dropped = 0
        super().__init__()

    def replied(self, seen: Seen) -> Canned:
        begins, ends = self._kind
        with self._lock:
            if not self.dropped and seen.target.startswith(begins) and seen.target.endswith(ends):
                self.dropped += 1
                return self._lie
        with closing(http.client.HTTPConnection(self._upstream, timeout=_PATIENCE)) as connection:
            connection.request(seen.method, seen.target, seen.body or None, seen.headers)
            answer = connection.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
            return Canned(answer.status, answer.read(), headers)


@pytest.mark.broker
def test_mixed_load_on_a_real_broker_loses_nothing_and_a_gateway_or_receiver_that_drops_one_event_fails_it(
    broker: Broker, tmp_path: Path
) -> None:
    report, topic = tmp_path / "report.json", "visits-of-a-swarm"
    with listening("loadtests.hooks") as receiver, before_broker(broker, tmp_path, topic) as (served, _):
        url = f"http://127.0.0.1:{served.port}"
        plan = Plan(url, receiver.base, "mixed", seconds=3, users=12, rate=10, topic=topic)

        good = swarm(plan, report)
        assert good.faults == []
        assert good.verdict.stored > 10
        assert {one.name for one in good.verdict.accounts} == {"pull", "webhook", "webhook-batch"}
        assert all(one.came >= good.verdict.stored for one in good.verdict.accounts)
        assert {"publish one", "publish batch", "receive", "ack", "publish to pull"} <= {
            line.name for line in good.lines
        }
        assert all(line.milliseconds[0] > 0 for line in good.lines)

        stored = Canned(201, _LIE, {"content-type": "application/json"})
        with (
            Dropping(url, f"/v1/topics/{topic}", "/events", stored) as lying,
            Dropping(receiver.base, "/hooks/", "-webhook", Canned(204, b"")) as deaf,
        ):
            bad = swarm(plan._replace(url=lying.url, hook_url=deaf.url, settle_seconds=10), report)
        assert (lying.dropped, deaf.dropped) == (1, 1)
        lost = {one.name: one.lost for one in bad.verdict.accounts}
        assert lost in (
            {"pull": 1, "webhook": 2, "webhook-batch": 1},
            # The gateway's lie was told to a whole batch.
            {"pull": 50, "webhook": 51, "webhook-batch": 50},
        )
        assert len(bad.faults) == 3


def test_a_gateway_that_is_not_there_is_no_result(tmp_path: Path) -> None:
    plan = Plan("http://127.0.0.1:1", "http://127.0.0.1:1", seconds=1)
    with pytest.raises(Broken, match="ended with 2 and without figures"):
        swarm(plan, tmp_path / "report.json")


def test_every_class_of_a_profile_exists_and_every_class_has_a_profile() -> None:
    tree = ast.parse((ROOT / "loadtests" / "locustfile.py").read_text())
    bases = {
        node.name: {ast.unparse(base) for base in node.bases} for node in tree.body if isinstance(node, ast.ClassDef)
    }
    users = {name for name, its in bases.items() if its & {"Producer", "Caller", "WebhookSubscriber"}} - {"Producer"}
    assert users == {name for names in PROFILES.values() for name in names}
    plan = Plan("http://gateway.example", "http://receiver.example", "webhook")
    assert command(plan, Path("report.json"))[-4:] == list(PROFILES["webhook"])


def test_only_the_process_of_locust_imports_locust() -> None:
    imports = re.compile(r"^\s*(?:import|from) (?:locust|gevent)\b", re.MULTILINE)
    folders = ("src", "tests", "loadtests", "openapi")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert {path.name for path in paths if imports.search(path.read_text())} == {"locustfile.py"}
