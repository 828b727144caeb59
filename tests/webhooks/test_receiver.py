"""The receiver beside the command: what does not take a process to see."""

import asyncio

from eventbus_gateway.api.server import address_of, listen
from eventbus_gateway.webhooks.receiver import Receiver


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def scenario() -> None:
        told: list[str] = []
        receiver = Receiver(None, 204, lambda _: None, told.append, body_seconds=0.05)
        listener = listen("127.0.0.1", 0)
        running = asyncio.create_task(receiver.run(listener))
        reader, writer = await asyncio.open_connection(*address_of(listener))
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        assert told == ["refused with 408: the body did not come within 0.05 seconds"]
        writer.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(scenario())
