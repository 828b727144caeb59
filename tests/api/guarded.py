"""A gateway that asks for keys, and the callers that it knows."""

import hashlib
import secrets
from pathlib import Path

from tests.api.publishing import TOPICS, kafka, registry
from tests.leaks import marked
from tests.serving import Served, Way

from eventbus_gateway.auth.settings import ApiKeySettings, AuthSettings, GrantSettings

CLINIC, CLINIC_NEXT, ARCHIVE, NOBODY = (marked(secrets.token_hex(16), "an API key") for _ in range(4))

AUTH = AuthSettings(
    api_keys=tuple(
        ApiKeySettings(principal=principal, sha256=hashlib.sha256(key.encode()).hexdigest())
        for principal, key in (("clinic", CLINIC), ("clinic", CLINIC_NEXT), ("archive", ARCHIVE), ("nobody", NOBODY))
    ),
    grants=(
        GrantSettings(principal="clinic", actions=("publish",), topics=("appointments", "no*s", "bare", "ghost")),
        GrantSettings(principal="clinic", actions=("read",), topics=("notes",)),
        GrantSettings(principal="archive", actions=("read",), topics=("*",)),
        GrantSettings(principal="archive", actions=("publish",), topics=("notes",)),
    ),
)


def guarded(way: Way, folder: Path) -> Served:
    """The gateway; whoever starts it has to close it."""
    return Served(way=way, kafka=kafka(), registry=registry(folder), topics=TOPICS, auth=AUTH)


def bearer(key: str) -> dict[str, str]:
    """The header that presents a key."""
    return {"authorization": f"Bearer {key}"}
