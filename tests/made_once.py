"""What takes long to make and is kept in the checkout, for all test runs there."""

import contextlib
import fcntl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


def made_once(place: Path, make: Callable[[Path], Path]) -> Path:
    """A file or folder, made by the first process that asks for it and whole for all others.

    Args:
        place: where it is kept.
        make: makes it somewhere in an empty folder that it is given, and returns it.
    """
    with _locked(place.parent):
        if not place.exists():
            with tempfile.TemporaryDirectory(dir=place.parent) as folder:
                make(Path(folder)).rename(place)
    return place


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time, also across concurrent test runs; the kernel lets go when the process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
