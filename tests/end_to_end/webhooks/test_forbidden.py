"""The gateway calls nobody but receivers that its configuration allows, whatever a URL looks like or leads to."""

import asyncio
import socket

import pytest
from tests.end_to_end.subscriptions.consuming import pause
from tests.end_to_end.subscriptions.replicas import Replicas
from tests.end_to_end.webhooks.manners import Reply, always
from tests.end_to_end.webhooks.pushing import pushed, to
from tests.end_to_end.webhooks.receivers import HOST, Receiver

pytestmark = pytest.mark.broker

FORBIDDEN = [
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://10.0.0.1:8080/",
    "http://127.0.0.1:9092/",
    "http://localhost:9092/",
    "http://[::1]/",
    "http://0.0.0.0/",
    "http://2130706434/",
    "http://0x7f.2/",
    f"http://user:secret@{HOST}/",
    f"http://{HOST}@10.0.0.1/",
    f"http://{HOST}:0/",
    "ftp://example.org/",
    "file:///etc/passwd",
]


def test_urls_that_lead_to_where_nobody_may_call_are_refused_with_a_pointer(
    pair: Replicas, receiver: Receiver
) -> None:
    async def scenario() -> None:
        hook = receiver.hook()
        async with pushed(pair, hook) as one:
            for url in FORBIDDEN:
                for path in (one.path, f"{one.path}-new"):
                    answer = await one.caller.call("PUT", path, {"topics": [one.topic], "delivery": to(url)})
                    problem = answer.json()
                    assert (answer.status, problem["code"]) == (422, "invalid_subscription"), url
                    [fault] = problem["errors"]
                    assert fault["pointer"] == "/delivery/url", url
                    assert fault["detail"], url
                    assert b"secret" not in answer.body
            assert (await one.caller.call("GET", f"{one.path}-new")).status == 404
            assert (await one.caller.ok("GET", one.path))["delivery"]["url"] == hook.url

    asyncio.run(scenario())


def name_of_this_machine() -> str | None:
    """A name that resolves to an address that may not be called, and does not look so."""
    name = socket.gethostname().lower()
    try:
        found = {str(each[4][0]) for each in socket.getaddrinfo(name, None, socket.AF_INET)}
    except OSError:
        return None
    private = ("127.", "10.", "192.168.", *(f"172.{second}." for second in range(16, 32)))
    return (
        name
        if name != "localhost" and HOST not in found and all(each.startswith(private) for each in found)
        else None
    )


def test_a_name_that_resolves_to_a_forbidden_address_is_not_called(pair: Replicas, receiver: Receiver) -> None:
    name = name_of_this_machine()
    if name is None:
        pytest.skip("this machine's name does not resolve to an address that is not public")

    async def scenario() -> None:
        hook = receiver.hook()
        with socket.create_server(("0.0.0.0", 0)) as listener:  # noqa: S104 - whatever address the name has
            listener.setblocking(False)
            delivery = {"url": f"http://{name}:{listener.getsockname()[1]}/"}
            async with pushed(pair, hook, delivery=delivery, parallelism=1) as one:
                tried = await one.caller.ok("POST", f"{one.path}/test")
                assert (tried["delivered"], tried["error"]) == (False, "forbidden_address")
                await one.publish(3)
                while not (attempts := (await one.caller.ok("GET", f"{one.path}/attempts"))["attempts"]):
                    await pause()
                assert {(each["status"], each["error"], each["decision"]) for each in attempts} == {
                    (None, "blocked", "retry")
                }
            with pytest.raises(BlockingIOError):
                listener.accept()

    asyncio.run(scenario())


def test_a_redirect_is_not_followed(pair: Replicas, receiver: Receiver) -> None:
    async def scenario() -> None:
        target = receiver.hook()
        hook = receiver.hook(always(Reply(307, headers={"location": target.url})))
        async with pushed(pair, hook) as one:
            tried = await one.caller.ok("POST", f"{one.path}/test")
            assert (tried["delivered"], tried["status"]) == (False, 307)
            await one.publish(3)
            await hook.until(lambda: len(hook.arrivals) >= 5, "events to be tried")
            assert target.arrivals == []
            assert hook.taken() == {}

    asyncio.run(scenario())
