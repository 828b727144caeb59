"""What every HTTP call that goes out has in common: limits on time and on what comes back."""

import contextlib
from typing import Any

import httpx2


class TooLarge(Exception):
    """The answer is longer than it may be."""


def time_limits(seconds: float, connect_seconds: float) -> dict[str, Any]:
    """Extensions of a request that bound its waits.

    Args:
        seconds: for each read and write.
        connect_seconds: for a connection.
    """
    return {"timeout": httpx2.Timeout(seconds, connect=connect_seconds).as_dict()}


async def body_within(response: httpx2.Response, max_bytes: int) -> bytes:
    """The body of an answer.

    Args:
        response: whose body was not read yet.
        max_bytes: most bytes, decompressed.

    Raises:
        TooLarge: it has more.
    """
    body = bytearray()
    # httpx2 inflates at most 1 MiB at a time, so the bound is passed by no more than that.
    async with contextlib.aclosing(response.aiter_bytes()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > max_bytes:
                raise TooLarge
    return bytes(body)
