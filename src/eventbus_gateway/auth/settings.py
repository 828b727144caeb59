"""The ``[auth]`` section of the configuration."""

from typing import Literal

from pydantic import Field

from eventbus_gateway.section import Section


class ApiKeySettings(Section):
    """One API key: who it stands for; only its hash is known here."""

    principal: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Name of the principal that the key stands for."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the key, in lower-case hexadecimal."""


class GrantSettings(Section):
    """What one principal may do."""

    principal: str = Field(pattern=r"^([A-Za-z0-9._-]{1,64}|\*)$")
    """Name of the principal, or ``*`` for all."""
    actions: tuple[Literal["publish", "read"], ...] = Field(min_length=1)
    """Actions that are allowed."""
    topics: tuple[str, ...] = Field(min_length=1)
    """Topics by name, or by pattern with ``*``."""


class AuthSettings(Section):
    """Who may call, and what each caller may do."""

    mode: Literal["api_keys", "anonymous"] = "api_keys"
    """``api_keys`` asks every caller for a key; ``anonymous`` lets everybody do everything."""
    api_keys: tuple[ApiKeySettings, ...] = Field(default=(), max_length=10_000)
    """The keys that are accepted."""
    grants: tuple[GrantSettings, ...] = Field(default=(), max_length=10_000)
    """What each principal may do; nothing is allowed that no grant allows."""
    events_per_second: float | None = Field(None, gt=0)
    """Events that one principal may publish per second; no limit when empty."""
    burst_events: int = Field(1_000, ge=1)
    """Events that one principal may publish at once after a pause."""
