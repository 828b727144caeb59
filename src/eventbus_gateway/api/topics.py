"""Topics as the publish path sees them: what Kafka knows joined with what is configured."""

import re
from collections.abc import Mapping
from typing import Any, Protocol

from eventbus_gateway.api.settings import TopicSettings
from eventbus_gateway.errors import UnknownTopic
from eventbus_gateway.schemas.cache import CodecOptions

MISSING = object()
# RFC 6901 section 4: an array's places have no leading zeros.
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}").fullmatch


class TopicMetadata(Protocol):
    """What Kafka says about a topic."""

    @property
    def name(self) -> str: ...
    @property
    def partitions(self) -> int: ...


class TopicDirectory(Protocol):
    """Where topics are looked up."""

    def topics(self) -> Mapping[str, TopicMetadata]:
        """All topics that callers may name."""
        ...

    def known(self, name: str) -> TopicMetadata | None:
        """A topic as far as it is known without asking Kafka."""
        ...

    async def lookup(self, name: str) -> TopicMetadata:
        """A topic, asking Kafka where it is not known.

        Raises:
            UnknownTopic: it does not exist.
            KafkaUnavailable: nobody can tell.
        """
        ...


class Topic:
    """One topic with everything that does not change from event to event.

    Args:
        name: the topic's name.
        settings: what is configured for it.
    """

    __slots__ = (
        "constant_headers",
        "has_avro_keys",
        "is_avro",
        "key_path",
        "key_required",
        "key_subject",
        "name",
        "options",
        "settings",
        "subject",
    )

    def __init__(self, name: str, settings: TopicSettings) -> None:
        self.name = name
        self.settings = settings
        # Confluent's topic name strategy.
        self.subject = f"{name}-value"
        self.key_subject = f"{name}-key"
        self.is_avro = settings.format == "avro"
        self.has_avro_keys = settings.key_format == "avro"
        self.options = CodecOptions(settings.dialect, settings.unknown_fields)
        self.key_path = _tokens(settings.key) if settings.key is not None else None
        self.key_required = settings.key_required if settings.key_required is not None else settings.key is not None
        content_type = b"application/avro" if self.is_avro else b"application/json"
        self.constant_headers: tuple[tuple[str, bytes], ...] = (
            ("content-type", content_type),
            ("ce_specversion", b"1.0"),
        )


class Topics:
    """Finds topics for requests.

    Args:
        directory: what Kafka knows.
        settings: configured topics by name.
        defaults: for topics that are not configured.
    """

    def __init__(
        self, directory: TopicDirectory, settings: Mapping[str, TopicSettings], defaults: TopicSettings
    ) -> None:
        self._directory = directory
        self._settings = settings
        self._defaults = defaults
        self._views: dict[str, Topic] = {}

    def known(self, name: str) -> Topic | None:
        """A topic that is known to exist and was asked for before, without asking Kafka."""
        return self._views.get(name) if self._directory.known(name) is not None else None

    async def require(self, name: str) -> Topic:
        """The topic of a request.

        Raises:
            UnknownTopic: it does not exist.
            KafkaUnavailable: nobody can tell.
        """
        if self._directory.known(name) is None:
            try:
                await self._directory.lookup(name)
            except UnknownTopic:
                self._views.pop(name, None)
                raise
        view = self._views.get(name)
        # Only topics that exist get this far, so the views are bounded by the cluster.
        return view if view is not None else self._views.setdefault(name, self.view(name))

    async def metadata(self, name: str) -> TopicMetadata:
        """What Kafka says about a topic, with the errors of :meth:`require`."""
        return self._directory.known(name) or await self._directory.lookup(name)

    def all(self) -> Mapping[str, TopicMetadata]:
        """All topics that callers may name."""
        return self._directory.topics()

    def view(self, name: str) -> Topic:
        """A topic's settings, whether it exists or not."""
        return Topic(name, self._settings.get(name, self._defaults))


def _tokens(pointer: str) -> tuple[str, ...]:
    """The reference tokens of a JSON pointer (RFC 6901 section 4)."""
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:])


def at_path(data: Any, path: tuple[str, ...]) -> Any:
    """The value that a pointer leads to, or ``MISSING``."""
    for token in path:
        if isinstance(data, dict):
            data = data.get(token, MISSING)
        elif isinstance(data, list) and _INDEX(token) is not None and int(token) < len(data):
            data = data[int(token)]
        else:
            return MISSING
        if data is MISSING:
            return MISSING
    return data
