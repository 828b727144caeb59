"""Compiled schemas, kept so that publishing does not wait for the registry.

What happens when the registry changes or fails:

- By id and by version a schema never changes: it is kept until its place is needed.
- The latest version is asked for again in the background once it is older than its time to live. Whatever goes wrong
  there (registry down, a new version that cannot be compiled), the last good schema stays in use.
- A subject that was deleted stays in use as long as the registry still resolves the id of its schema: that is a soft
  deletion, often a mistake, and every record remains readable. When the id is gone as well, what would be written
  could not be read by anybody new, so the subject counts as missing from then on.
"""

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from eventbus_gateway.errors import (
    GatewayError,
    Overloaded,
    RegistryUnavailable,
    SchemaMissing,
    SchemaUnusable,
    ShuttingDown,
    UnknownSchemaVersion,
)
from eventbus_gateway.schema_ids import SchemaId
from eventbus_gateway.schemas.codec import compile_codec
from eventbus_gateway.schemas.compiling import CodecOptions, Compile, Compiler, Schema
from eventbus_gateway.schemas.flights import Flights
from eventbus_gateway.schemas.refusals import Refusals, pause_after
from eventbus_gateway.schemas.registry import RegisteredSchema, Registry
from eventbus_gateway.schemas.settings import RegistrySettings

__all__ = ["CodecOptions", "Compile", "Schema", "Schemas", "Stats"]

log = logging.getLogger(__name__)

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Stats:
    """What the cache holds.

    Args:
        schemas: compiled schemas.
        subjects: subjects among them whose latest version is followed.
        absences: failed look-ups that are remembered.
        stale: latest versions that are served although the registry could not confirm them last time.
        refresh_failures: failed background refreshes since the start.
        refreshing: refreshes under way.
        unconfirmed_seconds: how long ago the registry confirmed that one of the stale ones which it confirmed first;
            0 where none is stale.
    """

    schemas: int
    subjects: int
    absences: int
    stale: int
    refresh_failures: int
    refreshing: int
    unconfirmed_seconds: float = 0.0


_Place = tuple[str, int | None] | SchemaId
"""A subject and its version, None for the latest; or a schema id."""
_Key = tuple[_Place, CodecOptions]


class _Kept:
    """A compiled schema and, for a latest version, when to ask for it again (monotonic seconds)."""

    __slots__ = ("asked", "confirmed", "due", "failing", "schema")

    def __init__(self, schema: Schema, asked: float, due: float) -> None:
        self.schema = schema
        self.asked = self.confirmed = asked
        self.due = due
        self.failing = False


class Schemas:
    """The schemas that the gateway works with; see the module for what it promises.

    Args:
        registry: where schemas come from; closed together with this.
        settings: times and bounds.
        clock: monotonic seconds.
        compile_text: compiles a schema text, in a thread.

    Attributes:
        framing: how records name these schemas.
    """

    def __init__(
        self,
        registry: Registry,
        settings: RegistrySettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        compile_text: Compile = compile_codec,
    ) -> None:
        self._registry = registry
        self.framing = registry.framing
        self._settings = settings
        self._clock = clock
        self._compiler = Compiler(registry, settings, compile_text)
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._refusals = Refusals(settings)
        self._answers: Flights[RegisteredSchema] = Flights(settings.max_subjects)
        self._loads: Flights[Schema] = Flights(settings.max_subjects)
        self._refreshes: Flights[None] = Flights(settings.max_subjects)
        self._refresh_failures = 0
        self._closed = False

    def ready(self, subject: str, version: int | None, options: CodecOptions) -> Schema | None:
        """The schema if it is compiled, without waiting; one past its time to live is refreshed in the background.

        Args:
            subject: where it is registered.
            version: which version, None for the latest.
            options: how data is read.
        """
        key = ((subject, version), options)
        kept = self._kept.get(key)
        if kept is None:
            return None
        self._kept.move_to_end(key)
        if version is None and kept.due <= self._clock():
            self._start_refresh(key, kept)
        return kept.schema

    async def get(self, subject: str, version: int | None, options: CodecOptions) -> Schema:
        """The schema, from the registry if need be.

        Args:
            subject: where it is registered.
            version: which version, None for the latest.
            options: how data is read.

        Raises:
            SchemaMissing: nothing is registered under the subject.
            UnknownSchemaVersion: the subject exists, the version does not.
            SchemaUnusable: it cannot be compiled.
            RegistryUnavailable: no usable answer, now or within the last ``retry_seconds``.
            Overloaded, ShuttingDown: it was not tried.
        """
        schema = self.ready(subject, version, options)
        return schema if schema is not None else await self._load(((subject, version), options))

    async def by_id(self, schema_id: SchemaId, options: CodecOptions) -> Schema:
        """The schema with an id, from the registry if need be.

        Args:
            schema_id: the registry's global id.
            options: how data is read.

        Raises:
            SchemaMissing: there is no such id.
            SchemaUnusable: it cannot be compiled.
            RegistryUnavailable: no usable answer, now or within the last ``retry_seconds``.
            Overloaded, ShuttingDown: it was not tried.
        """
        schema = self.ready_by_id(schema_id, options)
        return schema if schema is not None else await self._load((schema_id, options))

    def ready_by_id(self, schema_id: SchemaId, options: CodecOptions) -> Schema | None:
        """The schema with an id if it is compiled, without waiting.

        Args:
            schema_id: the registry's global id.
            options: how data is read.
        """
        key = (schema_id, options)
        kept = self._kept.get(key)
        if kept is None:
            return None
        self._kept.move_to_end(key)
        return kept.schema

    async def newer(self, schema: Schema, options: CodecOptions) -> Schema | None:
        """The latest version if it is another one than the schema that was used for it, asking the registry again.

        For events that do not fit: their producer may know a version that was registered within the time to live.
        The registry is asked at most once per subject and ``retry_seconds``; its failures count as no newer version.

        Args:
            schema: what was used as the latest version of its subject.
            options: how data is read.
        """
        key = ((schema.subject, None), options)
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.schema.id == schema.id and kept.asked + self._settings.retry_seconds <= self._clock():
            refresh = self._start_refresh(key, kept)
            if refresh is not None:
                await asyncio.wait([refresh])
        return kept.schema if kept.schema.id != schema.id else None

    def stats(self) -> Stats:
        """What the cache holds now; costs time in proportion to it."""
        latest = [kept for (place, _), kept in self._kept.items() if isinstance(place, tuple) and place[1] is None]
        return Stats(
            schemas=len(self._kept),
            subjects=len({kept.schema.subject for kept in latest}),
            absences=len(self._refusals),
            stale=sum(kept.failing for kept in latest),
            refresh_failures=self._refresh_failures,
            refreshing=len(self._refreshes),
            unconfirmed_seconds=max([self._clock() - kept.confirmed for kept in latest if kept.failing], default=0.0),
        )

    async def aclose(self) -> None:
        """Give up what is under way and close the registry."""
        self._closed = True
        for work in (self._answers, self._compiler, self._loads, self._refreshes):
            await work.aclose()
        await self._registry.aclose()

    async def _load(self, key: _Key) -> Schema:
        if self._closed:
            raise ShuttingDown
        now = self._clock()
        self._refusals.check(key[0], now)
        self._refusals.check(key, now)
        return await self._loads.join(key, partial(self._loaded, key))

    async def _loaded(self, key: _Key) -> Schema:
        place, options = key
        asked = self._clock()
        found = await self._answers.join(place, partial(self._answer, place))
        try:
            schema = await self._compiler.compiled(found, options)
        except (RegistryUnavailable, SchemaUnusable) as error:
            raise self._refusals.remember(key, error, self._clock()) from None
        follows = isinstance(place, tuple) and place[1] is None
        due = asked + self._settings.latest_ttl_seconds if follows else NEVER
        self._kept[key] = _Kept(schema, asked, due)
        if len(self._kept) > self._settings.max_schemas:
            self._kept.popitem(last=False)
        return schema

    async def _answer(self, place: _Place) -> RegisteredSchema:
        try:
            if not isinstance(place, tuple):
                return await self._registry.by_id(place)
            subject, version = place
            if version is None:
                return await self._registry.latest(subject)
            return await self._registry.version(subject, version)
        except (SchemaMissing, UnknownSchemaVersion, RegistryUnavailable) as error:
            raise self._refusals.remember(place, error, self._clock()) from None

    def _start_refresh(self, key: _Key, kept: _Kept) -> "asyncio.Task[None] | None":
        if self._closed:
            return None
        # At the bound the refresh stays due and is begun by a later call. The flight belongs to what is kept, not to
        # its key: that can be evicted and loaded again while a slow refresh of its predecessor is under way.
        with contextlib.suppress(Overloaded):
            return self._refreshes.begin(kept, partial(self._refreshed, key, kept))
        return None

    async def _refreshed(self, key: _Key, kept: _Kept) -> None:
        kept.asked = self._clock()
        try:
            pause = await self._renew(key, kept)
        except GatewayError as error:
            pause = self._failed(key, kept, error)
        except Exception:
            # The rim of a background task: whatever it is, publishing goes on with the schema that is known.
            log.exception("the refresh of subject %s failed", kept.schema.subject)
            self._refresh_failures += 1
            kept.failing = True
            pause = self._settings.latest_ttl_seconds
        kept.due = self._clock() + pause

    async def _renew(self, key: _Key, kept: _Kept) -> float:
        """Take over the registry's latest version; seconds until the next time."""
        place, options = key
        try:
            found = await self._answers.join(place, partial(self._answer, place))
        except SchemaMissing:
            if not await self._is_gone(kept.schema.id):
                raise
            log.warning("subject %s and schema id %s are deleted", kept.schema.subject, kept.schema.id)
            if self._kept.get(key) is kept:
                del self._kept[key]
            return NEVER
        if (found.id, found.version) != (kept.schema.id, kept.schema.version):
            kept.schema = await self._compiler.compiled(found, options)
        kept.failing, kept.confirmed = False, kept.asked
        return self._settings.latest_ttl_seconds

    async def _is_gone(self, schema_id: SchemaId) -> bool:
        try:
            await self._registry.by_id(schema_id)
        except SchemaMissing:
            return True
        except RegistryUnavailable:
            return False
        return False

    def _failed(self, key: _Key, kept: _Kept, error: GatewayError) -> float:
        self._refresh_failures += 1
        if not kept.failing:
            log.warning("subject %s stays at version %d: %s", kept.schema.subject, kept.schema.version, error.detail)
        kept.failing = True
        if isinstance(error, RegistryUnavailable):
            return pause_after(error, self._settings)
        # A deletion, or a version that cannot be compiled: neither heals within seconds.
        return self._settings.latest_ttl_seconds
