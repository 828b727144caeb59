"""Which replica serves which slot, as all replicas know it.

Each replica writes its own address for the slots that it holds. An entry is a hint and never a right: whoever is
asked by mistake says so. So a crash may leave entries behind, and of two writers the later one may be the wrong one;
the one that holds the slot sees it and writes again.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Iterable

import orjson

from eventbus_gateway.errors import GatewayError, InternalError
from eventbus_gateway.kafka.table import Table
from eventbus_gateway.kafka.view import Change

logger = logging.getLogger(__name__)

_ADDRESS = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")
_WRITES_AT_ONCE = 64
_RETRY_SECONDS = 0.25
"""Also between two writes of a slot for which somebody else writes: it takes a while until one of both gives in."""


class Owners:
    """The owners of slots, and this process as one of them.

    All methods belong to the event loop of the table.

    Args:
        table: from the number of a slot to the address of its owner; somebody else starts and closes it.
        address: ``host:port`` at which other replicas reach this one.
        holds: whether this process may act for a slot at this moment.
    """

    def __init__(self, table: Table, address: str, holds: Callable[[int], bool]) -> None:
        self.address = address
        self._table = table
        self._holds = holds
        self._value = _to_bytes(address)
        self._owners: dict[int, str] = {}
        self._own: set[int] = set()
        self._changed = asyncio.Event()
        self._due = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self._trouble: str | None = None
        for entry in table.items():
            self._take(Change(entry.key, None, entry))
        table.on_change(self._take)

    def announce(self, slots: Iterable[int]) -> None:
        """Let all replicas know that this one serves these slots from now on; goes on until it is done.

        Args:
            slots: numbers of the slots.
        """
        self._own.update(slots)
        self._due.set()
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    def retract(self, slots: Iterable[int]) -> None:
        """Claim these slots no more; the entries stay until the next owner writes its own."""
        self._own.difference_update(slots)

    def address_of(self, slot: int) -> str | None:
        """``host:port`` of the replica that said last that it serves a slot, None where none did."""
        return self._owners.get(slot)

    def is_own(self, address: str) -> bool:
        """Whether an address is this process's."""
        return address == self.address

    async def wait_change(self) -> None:
        """Wait for the next time that a slot gets another owner."""
        await self._changed.wait()

    async def close(self) -> None:
        """Write no more."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait([self._writing])

    def _take(self, change: Change) -> None:
        slot = _slot(change.key)
        if slot is None:
            return
        address = None if change.after is None else _from_bytes(change.after.value)
        if address is None:
            self._owners.pop(slot, None)
        else:
            self._owners[slot] = address
        if slot in self._own and address != self.address:
            self._due.set()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _write(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            missing = [slot for slot in sorted(self._own) if self._owners.get(slot) != self.address]
            for start in range(0, len(missing), _WRITES_AT_ONCE):
                self._note(await asyncio.gather(*map(self._put, missing[start : start + _WRITES_AT_ONCE])))
            if any(self._owners.get(slot) != self.address for slot in self._own):
                self._due.set()
            # Two that both take a slot for theirs must not flood the topic.
            await asyncio.sleep(_RETRY_SECONDS)

    async def _put(self, slot: int) -> str | None:
        """Announce one slot; the code of the error where that fails."""
        if slot not in self._own or not self._holds(slot):
            return None
        try:
            await self._table.put(str(slot), self._value)
        except GatewayError as error:
            return error.code
        # Whatever went wrong with this slot, the others and the next attempt must go on.
        except Exception:
            logger.exception("announcing the owner of slot %d failed", slot)
            return InternalError.code
        return None

    def _note(self, troubles: list[str | None]) -> None:
        trouble = next((trouble for trouble in troubles if trouble is not None), None)
        if trouble is not None and trouble != self._trouble:
            logger.warning("other replicas cannot be told which slots this one serves: %s", trouble)
        self._trouble = trouble


def _slot(key: str) -> int | None:
    return int(key) if key.isascii() and key.isdigit() and len(key) < 6 else None


def _to_bytes(address: str) -> bytes:
    return orjson.dumps({"format": 1, "address": address})


def _from_bytes(value: bytes) -> str | None:
    """The address in an entry, None for one that this version of the gateway does not understand."""
    with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError):
        stored = orjson.loads(value)
        address = stored["address"] if stored["format"] == 1 else None
        if isinstance(address, str) and _ADDRESS.fullmatch(address):
            return address
    return None
