"""A schema registry whose answers are counted."""

import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from eventbus_gateway.errors import SchemaMissing, UnknownSchemaVersion
from eventbus_gateway.schema_ids import Framing, SchemaId
from eventbus_gateway.schemas.registry import RegisteredSchema, Registry
from eventbus_gateway.telemetry import Metrics

T = TypeVar("T")


class MeasuredRegistry:
    """A ``Registry`` that counts what it is asked, and how long the answers take.

    Args:
        registry: answers.
        metrics: where that is counted.
        clock: seconds, monotonic.
    """

    def __init__(self, registry: Registry, metrics: Metrics, clock: Callable[[], float] = time.perf_counter) -> None:
        self._registry = registry
        self._requests = metrics.registry_requests
        self._seconds = metrics.registry_seconds
        self._clock = clock

    @property
    def framing(self) -> Framing:
        """See ``Registry.framing``."""
        return self._registry.framing

    async def latest(self, subject: str) -> RegisteredSchema:
        """See ``Registry.latest``."""
        return await self._asked(self._registry.latest(subject))

    async def version(self, subject: str, version: int) -> RegisteredSchema:
        """See ``Registry.version``."""
        return await self._asked(self._registry.version(subject, version))

    async def versions(self, subject: str) -> list[int]:
        """See ``Registry.versions``."""
        return await self._asked(self._registry.versions(subject))

    async def by_id(self, schema_id: SchemaId) -> RegisteredSchema:
        """See ``Registry.by_id``."""
        return await self._asked(self._registry.by_id(schema_id))

    async def find(self, subject: str, text: str) -> RegisteredSchema:
        """See ``Registry.find``."""
        return await self._asked(self._registry.find(subject, text))

    async def subjects(self) -> list[str]:
        """See ``Registry.subjects``."""
        return await self._asked(self._registry.subjects())

    async def aclose(self) -> None:
        """See ``Registry.aclose``."""
        await self._registry.aclose()

    async def _asked(self, answer: Coroutine[Any, Any, T]) -> T:
        began, outcome = self._clock(), "unavailable"
        try:
            found = await answer
            outcome = "found"
        except (SchemaMissing, UnknownSchemaVersion):
            outcome = "missing"
            raise
        finally:
            # Also where nobody waits any more: then there was no answer that could be used.
            self._requests.add((outcome,))
            self._seconds.observe(self._clock() - began)
        return found
