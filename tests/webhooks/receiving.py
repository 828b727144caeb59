"""``eventbus receive`` as a process, and what a sender does with it."""

import contextlib
import http.client
import re
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.end_to_end.process import CLI, PATIENCE, Child

from eventbus_gateway.webhooks.signing import Secret, Signer


class Answer(NamedTuple):
    """What the receiver said."""

    status: int
    headers: Mapping[str, str]
    text: str


class Receiving(Child):
    """``eventbus receive`` on a free port.

    Args:
        arguments: of the command line.
        environ: variables beside those of this process.
    """

    def __init__(self, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
        super().__init__([*CLI, "receive", "--port", "0", *arguments], environ)
        try:
            self.until(lambda: re.search(r"receiving at \S+\n", self.err) is not None, "the address")
        except BaseException:
            self.close()
            raise
        self.port = int(self.err.partition("\n")[0].rpartition(":")[2])

    def send(
        self, body: bytes = b"", headers: Mapping[str, str] | None = None, method: str = "POST", path: str = "/"
    ) -> Answer:
        """One request."""
        return send(self.port, body, headers, method, path)

    def lines(self, path: str = "out") -> list[str]:
        """What was printed so far; an answer comes after what was printed for it."""
        return (self.out if path == "out" else self.err).splitlines()


def send(
    port: int, body: bytes = b"", headers: Mapping[str, str] | None = None, method: str = "POST", path: str = "/"
) -> Answer:
    """One request on a connection of its own."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, named, answer.read().decode())


def signed(body: bytes, headers: Mapping[str, str], *secrets: Secret, age: int = 0) -> dict[str, str]:
    """The headers of a delivery with those of a signature that is so many seconds old."""
    return {**headers, **Signer(secrets).headers("msg_1", int(time.time()) - age, body)}


@contextlib.contextmanager
def receiving(*arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[Receiving]:
    """A receiver while the context is open, which must end when it is asked to."""
    with Receiving(*arguments, environ=environ) as receiver:
        yield receiver
        receiver.sigterm()
        assert receiver.ended() == 0, receiver.err
