"""A member of a group in a process of its own, which tests stop, resume and kill.

Writes a line of JSON to standard output for whatever happens, and one for whatever it finds when it has not run for a
while: what it then believes to hold, first of all.
"""

import asyncio
import json
import sys
from collections.abc import Mapping

from eventbus_gateway.kafka.membership import Membership, Terms
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.kafka.uptime import uptime

_BEAT_SECONDS = 0.02


class Reporter:
    """Tells about slots."""

    def assigned(self, acquisitions: Mapping[int, int]) -> None:
        say("assigned", sorted(acquisitions))

    async def revoked(self, slots: frozenset[int]) -> None:
        say("revoked", sorted(slots))

    def lost(self, slots: frozenset[int]) -> None:
        say("lost", sorted(slots))


def say(what: str, slots: list[int]) -> None:
    print(json.dumps({"what": what, "slots": slots, "at": uptime()}), flush=True)


async def main(bootstrap: str, terms: Terms) -> None:
    membership = Membership(KafkaSettings(bootstrap_servers=bootstrap, probe_seconds=0.1), terms, Reporter())
    membership.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    last = uptime()
    while not ended.is_set():
        now = uptime()
        # Kafka counts a session from the last heartbeat, so it can be over sooner after a stop than it is long.
        if now - last > terms.session_seconds / 2:
            say("resumed", sorted(membership.slots()))
        last = now
        await asyncio.wait([asyncio.ensure_future(ended.wait())], timeout=_BEAT_SECONDS)
    await membership.close(10)
    say("left", sorted(membership.slots()))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Terms(sys.argv[2], sys.argv[3], float(sys.argv[4]), 2.0)))
