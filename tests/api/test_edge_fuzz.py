"""Whatever bytes come, the edge answers or closes in time, stays alive and keeps nothing.

``EVENTBUS_FUZZ_SECONDS=600 pytest tests/api/test_edge_fuzz.py`` searches for longer.
"""

import os
import random
import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.wire import EDGE_WAYS, TARGET, Caller, at_rest, calling, chunked, edge, get, head, logged, post
from tests.serving import Served

from eventbus_gateway.api.settings import PublishSettings

SECONDS = float(os.environ.get("EVENTBUS_FUZZ_SECONDS", "3"))
TIMEOUT = 0.2
# What a caller that sends nothing more may have to wait at most, on a busy machine.
LIMIT = 4.0

SEEDS = [
    post(),
    post(b"{}", b"Expect: 100-continue"),
    post(b"{}", b"Connection: close"),
    post(b"1\n2\n").replace(b"application/json", b"application/x-ndjson"),
    chunked(b'{"a"', b":1}"),
    head(b"Transfer-Encoding: chunked") + b"2;a=b\r\n{}\r\n0\r\n\r\n",
    get(),
    get(b"/nothing"),
    get(TARGET, method=b"HEAD"),
    post(b"{}").replace(b"HTTP/1.1", b"HTTP/1.0"),
    head(b"Content-Length: 99999999"),
    head(b"Content-Length: 2", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    get(b"/", b"Connection: upgrade", b"Upgrade: h2c"),
    b"garbage\r\n\r\n",
]
TOKENS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 3\r\n",
    b"Host: b\r\n",
    b"HTTP/1.1",
    b"%00",
    b"\xff",
    b"POST / HTTP/1.1\r\n",
    b"X" * 2_000,
]


@pytest.fixture(scope="module", params=EDGE_WAYS)
def gateway(request: pytest.FixtureRequest) -> Iterator[Served]:
    """One gateway for all searches, with bounds small enough to be met."""
    with edge(
        request.param,
        header_timeout_seconds=TIMEOUT,
        body_timeout_seconds=TIMEOUT,
        idle_timeout_seconds=TIMEOUT,
        linger_seconds=TIMEOUT,
        max_header_bytes=1_024,
        max_headers=10,
        max_pipelined_requests=6,
        publish=PublishSettings(max_event_bytes=1_024, max_batch_bytes=2_048),
    ) as one:
        yield one


def mutated(chance: random.Random, data: bytes) -> bytes:
    """The same bytes with a few changes."""
    changed = bytearray(data)
    for _ in range(chance.randint(0, 3)):
        at = chance.randint(0, len(changed))
        match chance.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del changed[at : at + chance.randint(1, 8)]
            case 2:
                changed[at:at] = chance.choice(TOKENS)
            case 3:
                changed[at:at] = changed[at : at + chance.randint(1, 60)]
            case 4:
                del changed[at:]
            case _:
                changed[at : at + 1] = bytes(changed[at : at + 1]).swapcase()
    return bytes(changed)


def pieces(chance: random.Random, data: bytes) -> list[bytes]:
    """The same bytes cut at a few places."""
    cuts = sorted(chance.randint(0, len(data)) for _ in range(chance.randint(0, 4)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if end > start]


def said(gateway: Served, parts: list[bytes], leaves: bool) -> bytes:
    """All that comes back until the gateway closes; it must, in time."""
    began = time.monotonic()
    with calling(gateway) as caller:
        try:
            caller.send(*parts)
            if leaves:
                caller.reset()
                return b""
            found = caller.everything()
        except (BrokenPipeError, ConnectionResetError):
            found = b""
        except TimeoutError:
            found = b"HTTP/1.1 500 hangs"
        assert time.monotonic() - began < LIMIT, parts
    return found


def statuses(found: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", found)]


def sound(gateway: Served) -> None:
    """The gateway answers as ever and holds nothing."""
    assert at_rest(gateway)
    with calling(gateway) as caller:
        assert caller.ask(post()).status == 201


def test_changed_cut_and_joined_requests_do_no_harm(gateway: Served) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    limit = time.monotonic() + SECONDS
    rounds = 0
    while time.monotonic() < limit:
        # Many at once: each of them has to wait for a timeout of the gateway.
        waiting: list[tuple[Caller, bytes]] = []
        for _ in range(40):
            data = b"".join(mutated(chance, chance.choice(SEEDS)) for _ in range(chance.randint(1, 4)))
            caller = Caller(gateway)
            try:
                caller.send(*pieces(chance, data))
                if chance.random() < 0.2:
                    caller.reset()
                    continue
            except OSError:
                pass  # refused in the middle of it
            waiting.append((caller, data))
        for caller, data in waiting:
            try:
                found = caller.everything()
            except TimeoutError:
                pytest.fail(f"seed {seed}: {data!r} leaves the connection open")
            assert not set(statuses(found)) & {500, 501, 502}, (seed, data)
            caller.close()
        rounds += 1
    sound(gateway)
    assert rounds > 0
    assert all(line["status"] < 500 or line["status"] == 503 for line in logged(gateway))


NAMES = st.sampled_from(
    [b"Host", b"host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"Expect", b"X-A", b""]
)
VALUES = st.sampled_from(
    [b"a", b"0", b"2", b"-2", b"2, 2", b"chunked", b"gzip, chunked", b"close", b"100-continue", b""]
)
SPACES = st.sampled_from([b": ", b":", b" : ", b":\t", b":\r\n "])
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"])
CHUNKS = st.sampled_from(
    [b"2\r\n{}\r\n", b"2;a\r\n{}\r\n", b"0\r\n", b"0\r\n\r\n", b"\r\n", b"ff\r\n", b"{}", b"X: y\r\n"]
)
HEADERS = st.builds(lambda *parts: b"".join(parts), NAMES, SPACES, VALUES, ENDS)
LINES = st.builds(
    lambda *parts: b"".join(parts),
    st.sampled_from([b"POST", b"GET", b"HEAD", b"CONNECT", b"post", b"PRI"]),
    st.sampled_from([b" ", b"  ", b"\t"]),
    st.sampled_from([TARGET, b"/v1/topics", b"*", b"http://a/", b"/%zz", b"a:1", b""]),
    st.sampled_from([b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b""]),
    ENDS,
)
REQUESTS = st.builds(
    lambda line, host, headers, end, body: b"".join([line, host, *headers, end, *body]),
    LINES,
    st.sampled_from([b"Host: a\r\n", b"Host: a\r\n", b""]),
    st.lists(HEADERS, max_size=4),
    ENDS,
    st.lists(CHUNKS, max_size=4),
)


@settings(
    max_examples=max(15, int(SECONDS * 5)), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    requests=st.lists(st.one_of(REQUESTS, st.sampled_from(SEEDS)), min_size=1, max_size=4),
    cut=st.integers(0, 500),
    leaves=st.booleans(),
)
def test_requests_built_from_dangerous_parts_do_no_harm(
    gateway: Served, requests: list[bytes], cut: int, leaves: bool
) -> None:
    data = b"".join(requests)
    parts = [part for part in (data[:cut], data[cut:]) if part]
    found = statuses(said(gateway, parts, leaves))
    assert not set(found) & {500, 501, 502}
    # Whatever is refused ends the connection, so nothing is ever served behind it.
    if 431 in found:
        assert found[-1] == 431
    assert at_rest(gateway)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(min_size=1, max_size=200))
def test_any_bytes_at_all_do_no_harm(gateway: Served, data: bytes) -> None:
    with calling(gateway) as caller:
        caller.send(data)
        caller.reset()
    assert at_rest(gateway)
    sound(gateway)
