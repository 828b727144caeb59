"""Ports for brokers and gateways that have to know theirs before they listen."""

import contextlib
import random
import socket

_LOWEST, _HIGHEST = 20_000, 32_000
"""Below the ephemeral ports: a client that tries to reach a killed broker on one of those can connect to itself, and
then the broker cannot come back."""

_kept: list[socket.socket] = []


def free_port() -> int:
    """A port that nobody listens on, and that no other process is given while this one lives."""
    return free_run(1)


def free_run(number: int) -> int:
    """The first of so many such ports in a row."""
    while True:
        first = random.randrange(_LOWEST, _HIGHEST - number)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            keepers = [_keeper(stack, port) for port in range(first, first + number)]
            stack.pop_all()
            _kept.extend(keepers)
            return first


def _keeper(stack: contextlib.ExitStack, port: int) -> socket.socket:
    """Keep a port, also while the broker or gateway that was given it starts or is down.

    Raises:
        OSError: somebody has it.
    """
    keeper = stack.enter_context(socket.socket())
    keeper.bind(("127.0.0.1", port))
    # Servers, which all share addresses, may listen beside a keeper, since that never listens; keepers may not meet.
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return keeper
