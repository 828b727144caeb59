"""A gateway that traces and can be told not to: ``python -m loadtests.either --config FILE``.

Two equal processes differ by some percent, which is more than traces cost. So both are measured in the same one:
SIGUSR1 has it trace, as it does at first, and SIGUSR2 has it answer as a gateway does that knows of no traces.
"""

import asyncio
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click
import uvloop

from eventbus_gateway import logs
from eventbus_gateway.api.gateway import Gateway
from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.routes import Match
from eventbus_gateway.api.traced import TracedGateway
from eventbus_gateway.app import App, Subscribing
from eventbus_gateway.cli_config import load_or_exit

TRACE, PLAIN = signal.SIGUSR1, signal.SIGUSR2


class Either(Gateway):
    """Answers as one of two.

    Args:
        traced: the one that traces; the other one has its parts.
    """

    def __init__(self, traced: TracedGateway) -> None:
        self.router = traced.router
        self.refuse = traced.refuse  # type: ignore[method-assign]
        self._plain = super(TracedGateway, traced).handle
        self._traced = self._now = traced.handle

    def handle(self, request: Request, match: Match | None = None) -> Coroutine[Any, Any, Answer]:
        """See ``Gateway.handle``."""
        return self._now(request, match)

    def turn(self, number: int) -> None:
        """Be the one that a signal stands for."""
        self._now = self._traced if number == TRACE else self._plain


class EitherApp(App):
    """The process of such a gateway."""

    def _gateway(self, parts: Subscribing | None) -> Gateway:
        traced = super()._gateway(parts)
        assert isinstance(traced, TracedGateway)
        either = Either(traced)
        for number in (TRACE, PLAIN):
            asyncio.get_running_loop().add_signal_handler(number, either.turn, number)
        return either


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), required=True)
def main(path: Path) -> None:
    """Serve until SIGTERM."""
    config = load_or_exit(path, os.environ)
    logs.configure()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(EitherApp(config).run())


if __name__ == "__main__":
    main()
