"""A gateway that traces in turns with one that knows of no traces: ``python -m loadtests.either``.

Two equal processes differ by some percent, and so do the seconds of one: more than traces cost. So both are the same
process, many times in each second, and it counts its own requests and CPU time for each.
"""

import asyncio
import json
import os
import signal
import time
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

COUNT = signal.SIGUSR1
"""Has it begin to count, and end."""
# Each turn has some thousand requests; those that are under way at its end belong to both.
_TURN_SECONDS = 0.1
_WAYS = ("floor", "gateway")


class Either(Gateway):
    """Answers as one of two, in turns.

    Args:
        traced: the one that traces; the other one is what that does without.
    """

    def __init__(self, traced: TracedGateway) -> None:
        self.router = traced.router
        self.refuse = traced.refuse  # type: ignore[method-assign]
        self._ways = (super(TracedGateway, traced).handle, traced.handle)
        self._turn = 0
        self._now = self._ways[0]
        self._counting = False
        self._requests = 0
        self._began = self._cpu = 0.0
        self.turns: list[tuple[str, int, float, float]] = []
        """What each was: ``floor`` without traces and ``gateway`` with them; requests, seconds and CPU seconds."""

    def handle(self, request: Request, match: Match | None = None) -> Coroutine[Any, Any, Answer]:
        """See ``Gateway.handle``."""
        self._requests += 1
        return self._now(request, match)

    def count(self) -> None:
        """Begin to count, or end."""
        self._end_turn()
        self._counting = not self._counting

    def take_turns(self) -> None:
        """Be the other one, again and again."""
        self._end_turn()
        self._turn = 1 - self._turn
        self._now = self._ways[self._turn]
        asyncio.get_running_loop().call_later(_TURN_SECONDS, self.take_turns)

    def _end_turn(self) -> None:
        now, cpu = time.monotonic(), time.process_time()
        if self._counting:
            self.turns.append((_WAYS[self._turn], self._requests, now - self._began, cpu - self._cpu))
        self._requests, self._began, self._cpu = 0, now, cpu


class EitherApp(App):
    """The process of such a gateway."""

    either: Either

    def _gateway(self, parts: Subscribing | None) -> Gateway:
        traced = super()._gateway(parts)
        assert isinstance(traced, TracedGateway)
        self.either = Either(traced)
        self.either.take_turns()
        asyncio.get_running_loop().add_signal_handler(COUNT, self.either.count)
        return self.either


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), required=True)
@click.option("--counted", type=click.Path(path_type=Path), required=True)
def main(path: Path, counted: Path) -> None:
    """Serve until SIGTERM, then write what was counted."""
    config = load_or_exit(path, os.environ)
    logs.configure()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        app = EitherApp(config)
        runner.run(app.run())
    counted.write_text(json.dumps(app.either.turns))


if __name__ == "__main__":
    main()
