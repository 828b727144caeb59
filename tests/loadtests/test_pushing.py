"""The benchmarks of webhooks check every request, and fail where one is missing or not as it should be."""

import asyncio
import hmac
import json
import socket
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from loadtests.events import numbered
from loadtests.processes import listening
from loadtests.pushing import NAMES, Pushing
from loadtests.receiving import Arrivals
from tests.broker import Broker

from loadtests import receiving

KEY = b"a key of thirty-two random bytes"
SECRET = f"whsec_{b64encode(KEY).decode()}"


@pytest.mark.broker
@pytest.mark.parametrize("name", NAMES)
def test_each_benchmark_of_webhooks_runs_to_its_end_on_a_real_broker(
    name: str, tmp_path: Path, broker: Broker
) -> None:
    found = Pushing(broker, tmp_path, 0.5, {})(name)
    assert found.name == name
    assert found.cpu_us_per_event > 0
    assert (found.ratio is None) is (name == "webhook-latency")
    assert (found.p50_ms > 0) is (name == "webhook-latency")


def single(offset: int, key: str = "ward-1", *, signed_by: bytes = KEY, body: bytes = b'{"beds":3}') -> bytes:
    signature = b64encode(hmac.new(signed_by, b"msg_1.1700000000." + body, sha256).digest()).decode()
    head = (
        "POST /hook HTTP/1.1\r\nHost: receiver.example\r\n"
        f"ce-partition: 0\r\nce-offset: {offset}\r\nce-partitionkey: {key}\r\n"
        f"webhook-id: msg_1\r\nwebhook-timestamp: 1700000000\r\nwebhook-signature: v1,{signature}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def test_events_count_once_each_and_in_the_order_of_their_key() -> None:
    arrivals = Arrivals(SECRET)
    for request in (single(1), single(5, "ward-2"), single(3), single(4)):
        arrivals.take(request)
    assert (len(arrivals), arrivals.repeated, arrivals.disordered, arrivals.unsigned) == (4, 0, 0, 0)
    arrivals.take(single(4))
    assert (len(arrivals), arrivals.repeated, arrivals.disordered) == (4, 1, 0)
    arrivals.take(single(2))
    assert (len(arrivals), arrivals.repeated, arrivals.disordered) == (5, 1, 1)


def test_the_events_of_a_batch_count_one_by_one() -> None:
    arrivals = Arrivals(None)
    events: list[dict[str, object]] = [
        {"id": "a", "partition": 1, "offset": n, "partitionkey": "ward-1", "data": {}} for n in (7, 8, 6)
    ]
    body = json.dumps(events, separators=(",", ":")).encode()
    head = b"POST / HTTP/1.1\r\ncontent-type: application/cloudevents-batch+json\r\ncontent-length: %d\r\n\r\n"
    arrivals.take(head % len(body) + body)
    assert (len(arrivals), arrivals.disordered, arrivals.unsigned) == (3, 1, 0)


def test_a_request_that_is_signed_with_another_key_is_told() -> None:
    arrivals = Arrivals(SECRET)
    arrivals.take(single(1, signed_by=b"x" * 32))
    arrivals.take(single(2).replace(b'{"beds":3}', b'{"beds":4}'))
    arrivals.take(single(3).replace(b"webhook-signature", b"webhook-something"))
    assert (len(arrivals), arrivals.unsigned) == (3, 3)


def test_a_receiver_takes_requests_in_parts_and_reports_when_all_are_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        report = asyncio.run(_received(server, [single(1), single(2)], receiving.Plan(2, SECRET)))
    assert (report.events, report.repeated, report.disordered, report.unsigned) == (2, 0, 0, 0)


def test_a_receiver_is_a_process_of_its_own_that_is_told_what_to_expect_later() -> None:
    with listening("loadtests.receiving") as receiver:
        port = int(receiver.url.rpartition(":")[2].partition("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(single(1))
            receiver.tell(receiving.Plan(1, SECRET)._asdict())
            assert connection.recv(100).startswith(b"HTTP/1.1 204 ")
        assert receiving.Report(**receiver.report()).events == 1


def test_a_receiver_that_ends_without_a_report_is_an_error() -> None:
    with listening("loadtests.receiving") as receiver:
        receiver.tell({"unknown": True})
        with pytest.raises(RuntimeError, match="ended with 1"):
            receiver.report()


def test_events_that_are_numbered_say_so_in_their_heads() -> None:
    requests = numbered("visits", 3)
    assert [b"\r\nce-id: %d\r\n" % number in request for number, request in enumerate(requests)] == [True] * 3


async def _received(server: socket.socket, requests: list[bytes], plan: receiving.Plan) -> receiving.Report:
    running = asyncio.create_task(receiving.run(server, plan))
    reader, writer = await asyncio.open_connection(*server.getsockname())
    for request in requests:
        for part in (request[:40], request[40:-3], request[-3:]):
            writer.write(part)
            await writer.drain()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
    report = await running
    writer.close()
    return report
