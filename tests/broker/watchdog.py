"""Ends the brokers of a run that can no longer do it itself: its standard input closes when that run dies."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path


class Watchdog:
    """A child process that kills what it was told to watch as soon as this process is gone."""

    def __init__(self) -> None:
        # A session of its own: Ctrl-C in the terminal must not take it away before its work is done.
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__],
            stdin=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def watch(self, pid: int, folder: Path) -> None:
        """From now on this process must not outlive us, nor its data folder."""
        self._tell(f"+{pid} {folder}")

    def forget(self, pid: int) -> None:
        """The process has ended and its id may be given to another one."""
        self._tell(f"-{pid}")

    def close(self) -> None:
        """End the child; what it still watches is killed."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(10)

    def _tell(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin is not None and not self._process.stdin.closed:
                self._process.stdin.write(line + "\n")


@cache
def watchdog() -> Watchdog:
    """The one of this process."""
    import atexit  # noqa: PLC0415  the child that runs this file has no use for it

    one = Watchdog()
    atexit.register(one.close)
    return one


def _main() -> None:
    folders: dict[int, str] = {}
    for line in sys.stdin:
        pid, _, folder = line[1:].rstrip("\n").partition(" ")
        if line[0] == "+":
            folders[int(pid)] = folder
        else:
            folders.pop(int(pid), None)
    for number, folder in folders.items():
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _main()
