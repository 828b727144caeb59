"""What librdkafka tells about its brokers, taken apart only when somebody asks."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

MAX_BROKERS = 200
MAX_CHARACTERS = 16_777_216
"""Of statistics that are kept."""
_MICROSECOND = 1e-6


class BrokerState(NamedTuple):
    """A broker as the producer sees it; times are those of the last interval, in seconds.

    Args:
        up: whether there is a connection that can be used.
        rtt: mean time until the broker answered; None where it was not asked.
        rtt_p99: time that 99 of 100 answers did not exceed.
        queue: mean time that records waited to be sent; None where none was sent.
        requests: requests that wait to be sent or to be answered.
    """

    up: bool
    rtt: float | None
    rtt_p99: float | None
    queue: float | None
    requests: int


class Statistics:
    """The latest statistics of a client.

    They come as JSON, up to megabytes where there are many partitions. So the loop only keeps the text, and it is
    parsed at a scrape, once. Whoever polls the client must go on doing so: unread statistics would pile up.

    Args:
        seconds: how often the client tells; 0 for never.
    """

    def __init__(self, seconds: float) -> None:
        self._milliseconds = int(seconds * 1_000)
        self._text = ""
        self._brokers: Mapping[str, BrokerState] = {}

    def properties(self) -> dict[str, Any]:
        """What the client has to be given."""
        if not self._milliseconds:
            return {}
        return {"statistics.interval.ms": self._milliseconds, "stats_cb": self.take}

    def take(self, text: str) -> None:
        """Librdkafka's ``stats_cb``: called where the client is polled."""
        # What is beyond is dropped, and whoever asks is told what was known before.
        self._text = text if len(text) <= MAX_CHARACTERS else ""

    def brokers(self) -> Mapping[str, BrokerState]:
        """All known brokers by their number, at most ``MAX_BROKERS``."""
        if self._text:
            text, self._text = self._text, ""
            self._brokers = _brokers(text)
        return self._brokers


def _brokers(text: str) -> Mapping[str, BrokerState]:
    found = orjson.loads(text).get("brokers", {}).values()
    # Those with a negative number are addresses to begin with, and logical ones such as a group's coordinator.
    real = sorted((one for one in found if one["nodeid"] >= 0), key=lambda one: one["nodeid"])
    return {str(one["nodeid"]): _state(one) for one in real[:MAX_BROKERS]}


def _state(broker: Mapping[str, Any]) -> BrokerState:
    rtt, queue = broker["rtt"], broker["int_latency"]
    asked, sent = rtt["cnt"] > 0, queue["cnt"] > 0
    return BrokerState(
        broker["state"] == "UP",
        rtt["avg"] * _MICROSECOND if asked else None,
        rtt["p99"] * _MICROSECOND if asked else None,
        queue["avg"] * _MICROSECOND if sent else None,
        broker["outbuf_cnt"] + broker["waitresp_cnt"],
    )
