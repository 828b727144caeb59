"""A Kafka inside this process, for ``eventbus dev``: librdkafka's own mock cluster.

It speaks the real protocol on a real port, so other processes can connect: produce, fetch, headers, groups and
commits work. It keeps at most 5 MiB per partition and nothing across restarts; it has no authentication, no
compaction and no administration.
"""

import asyncio
import ctypes
import ctypes.util
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import confluent_kafka

from eventbus_gateway.errors import InternalError
from eventbus_gateway.kafka.records import Outcome, Record, RecordSink, Stored

_PRODUCER = 0
"""``RD_KAFKA_PRODUCER``"""
_TEXT_BYTES = 512


class EmbeddedKafka:
    """Starts at once and runs until ``close()``.

    Args:
        topics: number of partitions by topic name. A topic that is not named here exists as soon as a client that
            may create topics asks for it.
        brokers: number of brokers.

    Raises:
        InternalError: librdkafka cannot be found or refuses.
    """

    def __init__(self, topics: Mapping[str, int], *, brokers: int = 1) -> None:
        self._library = _library()
        text = ctypes.create_string_buffer(_TEXT_BYTES)
        config = self._library.rd_kafka_conf_new()
        # Its log lines are about clients that connect and leave, which says nothing to a developer.
        self._library.rd_kafka_conf_set(config, b"log_level", b"0", text, _TEXT_BYTES)
        self._handle: int | None = self._library.rd_kafka_new(_PRODUCER, config, text, _TEXT_BYTES)
        if not self._handle:
            self._library.rd_kafka_conf_destroy(config)
            raise InternalError("The embedded Kafka does not start")
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._handle, brokers)
        if not self._cluster:
            self._library.rd_kafka_destroy(self._handle)
            raise InternalError("The embedded Kafka does not start")
        self.bootstrap: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        try:
            for name, partitions in topics.items():
                self.create_topic(name, partitions)
        except InternalError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def create_topic(self, name: str, partitions: int) -> None:
        """Create one more topic.

        Raises:
            InternalError: it exists, or the cluster refuses the number of partitions.
        """
        failed = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if failed:
            raise InternalError("The embedded Kafka refuses the topic")

    def fail_next_requests(self, api_key: int, *codes: int) -> None:
        """Answer the next requests of one kind with these errors, one each: for trying out failures.

        Args:
            api_key: number of the request in Kafka's protocol; Produce is 0.
            codes: Kafka's error codes.
        """
        array = (ctypes.c_int * len(codes))(*codes)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, api_key, len(codes), array)

    def close(self) -> None:
        """End the cluster; safe to call again."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(handle)


class EmbeddedSink:
    """A sink on the embedded Kafka whose receipts have a time.

    The mock cluster claims that it appended everything in the year 1970; what its log shows is when the record was
    sent.

    Args:
        sink: the sink proper.
        clock: seconds since the epoch.
    """

    def __init__(self, sink: RecordSink, clock: Callable[[], float] = time.time) -> None:
        self._sink = sink
        self._clock = clock

    def send(self, topic: str, records: Sequence[Record]) -> asyncio.Future[list[Outcome]]:
        """See ``RecordSink.send``."""
        inner = self._sink.send(topic, records)
        now = int(self._clock() * 1000)
        outer: asyncio.Future[list[Outcome]] = inner.get_loop().create_future()

        def pass_on(done: asyncio.Future[list[Outcome]]) -> None:
            if not outer.done():
                timed = [
                    outcome._replace(timestamp=now) if isinstance(outcome, Stored) else outcome
                    for outcome in done.result()
                ]
                outer.set_result(timed)

        inner.add_done_callback(pass_on)
        return outer


def _library() -> ctypes.CDLL:
    """The very librdkafka that the binding uses: the dynamic loader gives the same one for the same file."""
    package = Path(confluent_kafka.__file__).parent
    folders = (package.parent / "confluent_kafka.libs", package / ".dylibs")
    bundled = [file for folder in folders if folder.is_dir() for file in folder.iterdir()]
    found = [str(file) for file in sorted(bundled) if re.match(r"librdkafka(?!\+\+)", file.name)]
    name = found[0] if found else ctypes.util.find_library("rdkafka")
    if name is None:
        raise InternalError("librdkafka cannot be found: the embedded Kafka needs the wheel of confluent-kafka")
    library = ctypes.CDLL(name)
    # Pointers are cut to 32 bits unless the signatures say otherwise.
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures: Mapping[str, tuple[object, list[object]]] = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_destroy": (None, [pointer]),
        "rd_kafka_conf_set": (number, [pointer, text, text, text, ctypes.c_size_t]),
        "rd_kafka_new": (pointer, [number, pointer, text, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, number]),
        "rd_kafka_mock_cluster_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_topic_create": (number, [pointer, text, number, number]),
        "rd_kafka_mock_push_request_errors_array": (
            None,
            [pointer, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(number)],
        ),
    }
    for function, (result, arguments) in signatures.items():
        binding = getattr(library, function)
        binding.restype = result
        binding.argtypes = arguments
    return library
