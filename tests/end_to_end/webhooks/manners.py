"""What comes to a receiver of webhooks, and how it behaves."""

import random
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

End = Literal["whole", "truncated", "reset", "never"]
Place = tuple[int, int]


class Arrival(NamedTuple):
    """One event as it came.

    Args:
        moment: place in the order of everything that the books note.
        request: number of the request; all events of a batch have the same.
        at: seconds on the monotonic clock.
        event: id of the event.
        message: ``webhook-id``.
        key: key of the event.
        place: partition and offset.
        earlier: how often the event had come before.
        signed_by: names of the secrets with which its signature is valid.
        headers: all of them, names in lower case.
    """

    moment: int
    request: int
    at: float
    event: str
    message: str
    key: str
    place: Place
    earlier: int
    signed_by: frozenset[str]
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        # Without headers: they have secrets.
        return f"Arrival({self.moment}: {self.event} of {self.key} at {self.place} as {self.message})"


class Reply(NamedTuple):
    """What a request is answered with; for a batch its first event decides.

    Args:
        status: of the answer.
        after: seconds until it is sent.
        end: whether it ends as it should, in its middle, before its beginning, or is never sent.
        headers: further ones.
        body: of the answer.
    """

    status: int = 200
    after: float = 0.0
    end: End = "whole"
    headers: Mapping[str, str] = {}
    body: bytes = b"ok"

    @property
    def is_success(self) -> bool:
        """Whether the receiver has taken the event, as the gateway has to understand it."""
        return self.end == "whole" and 200 <= self.status < 300


Manner = Callable[[Arrival], Reply]
OK = Reply()


def always(reply: Reply) -> Manner:
    """The same answer for all."""
    return lambda _: reply


def now_and_then(seed: int, *chances: tuple[float, Reply], otherwise: Reply = OK) -> Manner:
    """Answers by chance, yet the same in every run, whatever the order in which requests come.

    Args:
        seed: of the chance.
        chances: part of the requests, and their answer.
        otherwise: answer to all other ones.
    """

    def manner(arrival: Arrival) -> Reply:
        drawn = random.Random(f"{seed} {arrival.event} {arrival.earlier}").random()
        for part, reply in chances:
            if drawn < part:
                return reply
            drawn -= part
        return otherwise

    return manner
