"""A whole gateway with all of its routes, which asks for keys, on an embedded Kafka."""

import asyncio
import contextlib
import hashlib
import os
import threading
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import httpx2
import uvloop
from tests.end_to_end.process import toml
from tests.leaks import heard_answer, marked

from eventbus_gateway.app import App
from eventbus_gateway.auth.keys import new_key
from eventbus_gateway.config import load
from eventbus_gateway.kafka.embedded import EmbeddedKafka

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
KEY = marked(new_key().decode(), "the key of the contract's tests")
STRANGER = marked(new_key().decode(), "a key without grants")
LIMITED = marked(new_key().decode(), "a key with a limit")
TOPIC = "appointments"
PULLED, PUSHED = "booked", "pushed"


class Running(NamedTuple):
    """A gateway that runs.

    Args:
        url: of its public port.
        client: presents a key that may do everything.
    """

    url: str
    client: httpx2.Client


@contextlib.contextmanager
def running(folder: Path, **http: object) -> Iterator[Running]:
    """A gateway while the context is open, with a subscription of each kind.

    Args:
        folder: for its configuration.
        http: keys of that section.
    """
    file = folder / "eventbus.toml"
    ready: Future[int] = Future()
    with EmbeddedKafka({TOPIC: 2}) as kafka:
        file.write_text(toml(_configuration(kafka.bootstrap, http)))
        app = App(load(file, {}), embedded=kafka)
        loop = uvloop.new_event_loop()

        async def serve() -> None:
            stopped = asyncio.Event()
            app_stop.append(stopped)
            async with app.running() as addresses:
                ready.set_result(addresses.public[1])
                await stopped.wait()

        def run() -> None:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                try:
                    runner.run(serve())
                except BaseException as error:
                    if not ready.done():
                        ready.set_exception(error)
                    raise

        app_stop: list[asyncio.Event] = []
        thread = threading.Thread(target=run, name="gateway", daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{ready.result(timeout=30)}"
        hooks = {"response": [heard_answer]}
        headers = {"x-api-key": KEY}
        with httpx2.Client(base_url=url, timeout=30, trust_env=False, headers=headers, event_hooks=hooks) as client:
            try:
                _subscribe(client)
                yield Running(url, client)
            finally:
                loop.call_soon_threadsafe(app_stop[0].set)
                thread.join(timeout=60)
                assert not thread.is_alive()


def _subscribe(client: httpx2.Client) -> None:
    # Nobody listens at port 9 of this machine, so that what is pushed fails at once.
    webhook = {"type": "webhook", "url": "https://127.0.0.1:9/hook", "auth": {"type": "bearer", "token": "t0ken"}}
    for name, delivery in ((PULLED, {"type": "pull"}), (PUSHED, webhook)):
        answer = client.put(f"/v1/subscriptions/{name}", json={"topics": [TOPIC], "delivery": delivery})
        assert answer.status_code == 201, answer.text


def _configuration(bootstrap: str, http: dict[str, object]) -> dict[str, object]:
    keys = {"clinic": KEY, "stranger": STRANGER, "limited": LIMITED}
    actions = ["publish", "read", "manage", "subscribe", "admin"]
    return {
        "http": {"port": 0, "internal_port": 0, "access_log": False, **http},
        "audit": {"enabled": False},
        "kafka": {"bootstrap_servers": bootstrap},
        "registry": {"kind": "folder", "folder": str(EXAMPLES)},
        "topics": {TOPIC: {"key": "/appointmentId", "source": "/examples/scheduling"}},
        "read": {"stream_seconds": 1},
        "subscriptions": {"enabled": True, "peer_secret": "p" * 64},
        "webhooks": {
            "secret_keys": b64encode(os.urandom(32)).decode(),
            "allowed_ports": ["1-65535"],
            "allowed_networks": ["127.0.0.0/8"],
            "origin": "eventbus.example",
        },
        "auth": {
            "api_keys": [
                {"principal": name, "sha256": hashlib.sha256(key.encode()).hexdigest()} for name, key in keys.items()
            ],
            "grants": [
                {"principal": name, "actions": actions, "topics": ["*"]} for name in keys if name != "stranger"
            ],
            "limits": [{"principal": "limited", "requests_per_second": 0.01, "burst_requests": 3}],
        },
    }
