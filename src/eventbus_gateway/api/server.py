"""A listening socket with everything behind it."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from eventbus_gateway.api.asgi import AsgiAdapter
from eventbus_gateway.api.connection import protocol_class
from eventbus_gateway.api.edge import Edge

_BACKLOG = 2_048


def listen(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A listening socket.

    Args:
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        reuse_port: whether other processes may listen there too.

    Raises:
        OSError: it cannot listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=reuse_port)


def address_of(listener: socket.socket) -> tuple[str, int]:
    """Host and port that a socket listens on."""
    host, port = listener.getsockname()[:2]
    return str(host), int(port)


class Server(uvicorn.Server):
    """uvicorn's server under a process that watches for signals itself.

    uvicorn raises a captured signal again once it has stopped, which would end the process before Kafka has
    acknowledged what was accepted.

    Args:
        adapter: answers what does not go straight from the protocol.
        edge: the bounds; None leaves connections to uvicorn's own protocol.
        listener: where connections come in. uvicorn would end the process where it cannot listen; bound before, that
            is an OSError for whoever does it.
        drain_seconds: time that requests have to end.
    """

    def __init__(
        self, adapter: AsgiAdapter, edge: Edge | None, listener: socket.socket, drain_seconds: float
    ) -> None:
        self._socket = listener
        self._edge = edge
        self._listening = asyncio.Event()
        super().__init__(
            uvicorn.Config(
                adapter,
                http=protocol_class(edge) if edge is not None else "httptools",
                ws="none",
                lifespan="off",
                loop="none",
                log_config=None,
                access_log=False,
                # Who calls is decided by credentials, never by what a header says about the way here.
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=int(drain_seconds),
            )
        )

    async def start(self) -> "asyncio.Task[None]":
        """Serve in a task, which ends after :attr:`should_exit` was set and all requests are answered."""
        serving = asyncio.create_task(self.serve(sockets=[self._socket]))
        await self._listening.wait()
        return serving

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._edge is not None:
            self._edge.is_draining = True
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
