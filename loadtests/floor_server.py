"""The least that an HTTP request can cost behind uvicorn: it reads the body and answers with a constant.

``python -m loadtests.floor_server`` prints the port it listens on; what it answers comes as bytes on standard input.
"""

import socket
import sys
from typing import Any

import uvicorn


class Constant:
    """An ASGI application that answers every request alike.

    Args:
        body: the answer's body, JSON.
    """

    def __init__(self, body: bytes) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        self._start = {"type": "http.response.start", "status": 201, "headers": headers}
        self._body = {"type": "http.response.body", "body": body}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send(self._start)
        await send(self._body)


def main() -> None:
    """Serve until SIGTERM."""
    body = sys.stdin.buffer.read()
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        print(listener.getsockname()[1], flush=True)
        settings = uvicorn.Config(
            Constant(body), http="httptools", loop="uvloop", lifespan="off", access_log=False, log_level="warning"
        )
        uvicorn.Server(settings).run([listener])


if __name__ == "__main__":
    main()
