"""How far subscriptions are behind the ends of their topics, for whoever measures."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

from eventbus_gateway.errors import GatewayError
from eventbus_gateway.kafka.partitions import Partition
from eventbus_gateway.subscriptions.supply import Progress

LookUp = Callable[[Collection[Partition]], Awaitable[Mapping[Partition, int | GatewayError]]]
EndOf = Callable[[Partition], int | None]

_PER_CALL = 1_000
_TRUSTED = 3.0
"""Intervals after which an end that could not be looked up again is not told any more."""
_FORGOTTEN = 10.0
"""Intervals after which a partition that nobody asks about is not looked up any more."""
_SELDOM_SECONDS = 300.0
"""Nobody is forgotten sooner: scrapes can be much rarer than looks."""

_logger = logging.getLogger(__name__)


class Ends:
    """Looks the ends of partitions up in the background, and only those that somebody asks about.

    So a scrape never waits for Kafka, and a process that nobody scrapes asks nothing. What is asked about are
    partitions of shards that are served, so their number is bounded by these.

    Args:
        look_up: asks Kafka.
        seconds: how often.
        clock: monotonic seconds.
    """

    def __init__(self, look_up: LookUp, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._look_up = look_up
        self._seconds = seconds
        self._clock = clock
        self._asked: dict[Partition, float] = {}
        self._found: dict[Partition, tuple[int, float]] = {}
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look; needs the running loop."""
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Look no more."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def of(self, place: Partition) -> int | None:
        """The offset behind the last record of a partition, as it was a moment ago; None where it is not known."""
        now = self._clock()
        self._asked[place] = now
        found = self._found.get(place)
        return None if found is None or now - found[1] > _TRUSTED * self._seconds else found[0]

    async def look(self) -> None:
        """Look up once what was asked about."""
        long_ago = self._clock() - max(_FORGOTTEN * self._seconds, _SELDOM_SECONDS)
        for place in [place for place, asked in self._asked.items() if asked < long_ago]:
            del self._asked[place]
            self._found.pop(place, None)
        places = list(self._asked)
        for begin in range(0, len(places), _PER_CALL):
            now = self._clock()
            found = await self._look_up(places[begin : begin + _PER_CALL])
            self._found |= {place: (end, now) for place, end in found.items() if isinstance(end, int)}

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self.look()
            except GatewayError:
                continue  # Kafka is away, which other metrics tell; what is known becomes too old by itself
            except Exception:
                # The rim of the task: a look that failed must not be the last one.
                _logger.exception("the ends of partitions could not be looked up")


def behind(progress: Iterable[Progress], topics: Collection[str], end_of: EndOf) -> int | None:
    """Events between what is done and the end; None where no end is known.

    Offsets without a record (of transactions, or compacted away) count too, as they do for Kafka's own tools.

    Args:
        progress: how far each partition is.
        topics: whose partitions count; dead letters that are read again do not.
        end_of: the end of a partition.
    """
    found = [
        max(0, end - one.watermark)
        for one in progress
        if one.topic in topics and (end := end_of((one.topic, one.partition))) is not None
    ]
    return sum(found) if found else None
