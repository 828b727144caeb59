"""A clock that cannot be stopped by stopping us."""

import time


def uptime() -> float:
    """Seconds that also go on while the process is stopped and, where the system can tell, while it is suspended.

    ``time.monotonic`` leaves suspensions of the whole machine out on Linux, and what was promised for some seconds
    would still be believed afterwards.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
