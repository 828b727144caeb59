"""A timer that rings once at the earliest of the times that it was given."""

import pytest
from tests.webhooks.jumping import after, clock, play

from eventbus_gateway.subscriptions.timer import Timer


def test_it_rings_once_at_the_earliest_time_and_begins_anew() -> None:
    async def scenario() -> None:
        rung: list[float] = []
        began = clock()
        timer = Timer(clock, lambda: rung.append(clock() - began))
        for at in (9.0, 5.0, 7.0, None):
            timer.set(None if at is None else began + at)
        await after(20)
        assert rung == [5.0]
        timer.set(began + 1)  # already over
        await after(1)
        assert rung == [5.0, pytest.approx(20.0, abs=0.01)]

    play(scenario)


def test_what_it_does_can_set_it_again() -> None:
    async def scenario() -> None:
        rung: list[float] = []
        began = clock()

        def ring() -> None:
            rung.append(clock() - began)
            timer.set(clock() + 3)

        timer = Timer(clock, ring)
        timer.set(began + 3)
        await after(10)
        timer.close()
        assert rung == [3.0, 6.0, 9.0]

    play(scenario)


def test_once_closed_it_never_rings() -> None:
    async def scenario() -> None:
        rung: list[int] = []
        timer = Timer(clock, lambda: rung.append(1))
        timer.set(clock() + 1)
        timer.close()
        timer.set(clock() + 1)
        await after(10)
        assert not rung

    play(scenario)
