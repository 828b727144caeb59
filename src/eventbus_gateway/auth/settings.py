"""The ``[auth]`` section of the configuration."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from eventbus_gateway.auth.oidc.settings import OidcIssuerSettings
from eventbus_gateway.section import Network, Section

Role = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class ApiKeySettings(Section):
    """One API key: who it stands for; only its hash is known here."""

    principal: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Name of the principal that the key stands for."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the key, in lower-case hexadecimal."""
    roles: tuple[Role, ...] = Field((), max_length=100)
    """Names of the roles that the key gives to whoever presents it."""


class CertificateSettings(Section):
    """Whom a client certificate stands for, by one of its names as a trusted proxy writes it."""

    kind: Literal["subject", "uri", "dns"] = "subject"
    """Which name is compared: the subject's distinguished name, or a URI or DNS name of the certificate, which only
    ``xfcc`` tells."""
    value: str = Field(min_length=1, max_length=1_024)
    """The name; every character counts."""
    principal: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Name of the principal that the certificate stands for."""
    roles: tuple[Role, ...] = Field((), max_length=100)
    """Names of the roles that the certificate gives to its holder."""


def _require_one(principal: str | None, role: str | None) -> None:
    if (principal is None) == (role is None):
        raise ValueError("needs principal or role, and not both")


class GrantSettings(Section):
    """What one principal, or everybody with a role, may do."""

    principal: str | None = Field(None, pattern=r"^([A-Za-z0-9._-]{1,64}|\*)$")
    """Name of the principal, or ``*`` for all."""
    role: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Name of a role, in place of the principal."""
    actions: tuple[Literal["publish", "read", "subscribe", "manage", "admin"], ...] = Field(min_length=1)
    """Actions that are allowed: ``read`` has ``manage`` and ``subscribe`` in it, ``manage`` has ``subscribe``."""
    topics: tuple[str, ...] = Field(min_length=1)
    """Topics by name, or by pattern with ``*``."""

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        _require_one(self.principal, self.role)
        return self


class LimitSettings(Section):
    """What one principal, or everybody with a role, may use; what is left out has no limit."""

    principal: str | None = Field(None, pattern=r"^([A-Za-z0-9._-]{1,64}|\*)$")
    """Name of the principal, or ``*`` for all."""
    role: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    """Name of a role, in place of the principal; each of those who have it has these limits for itself."""
    weight: int = Field(1, ge=1, le=1_000)
    """Share of a busy gateway, compared with the weights of the others."""
    requests_per_second: float | None = Field(None, gt=0)
    """Requests per second."""
    burst_requests: int = Field(100, ge=1)
    """Requests at once after a pause."""
    events_per_second: float | None = Field(None, gt=0)
    """Events published per second."""
    burst_events: int = Field(1_000, ge=1)
    """Events published at once after a pause."""
    bytes_per_second: float | None = Field(None, gt=0)
    """Bytes per second of bodies, those of requests and those of answers."""
    burst_bytes: int = Field(8_388_608, ge=1_024)
    """Bytes of bodies at once after a pause."""
    max_polls: int | None = Field(None, ge=1)
    """Receives and reads under way, streams included."""

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        _require_one(self.principal, self.role)
        return self


class AuthSettings(Section):
    """Who may call, and what each caller may do."""

    mode: Literal["api_keys", "anonymous", "several"] = "api_keys"
    """``api_keys`` asks every caller for a key; ``anonymous`` lets everybody do everything; ``several`` takes each of
    ``methods``."""
    methods: tuple[Literal["api_keys", "oidc", "certificates", "anonymous"], ...] = Field((), max_length=4)
    """With mode ``several``, how callers may prove who they are: API keys, tokens of OpenID Connect issuers, client
    certificates that a proxy has asked for. With ``anonymous``, requests without any credential are let in too, as
    the principal ``anonymous``; grants say what it may do."""
    api_keys: tuple[ApiKeySettings, ...] = Field(default=(), max_length=10_000)
    """Keys that are accepted beside those of the table."""
    key_table: bool = False
    """Accept the keys that ``eventbus keys`` keeps in Kafka; they can be created and revoked while replicas run."""
    max_key_principals: int = Field(10_000, ge=1, le=1_000_000)
    """Principals that have keys in the table."""
    certificate_header: str = Field("x-forwarded-client-cert", pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    """Header in which a proxy tells whose certificate it has verified, in lower case."""
    certificate_format: Literal["xfcc", "subject"] = "xfcc"
    """What is in it: Envoy's ``x-forwarded-client-cert`` of one certificate, or the subject's distinguished name and
    nothing else, as nginx and load balancers write it."""
    certificate_proxies: tuple[Network, ...] = Field((), max_length=1_000)
    """Addresses of the proxies whose word counts; from any other one a request with that header is refused."""
    certificates: tuple[CertificateSettings, ...] = Field((), max_length=10_000)
    """Whom client certificates stand for."""
    oidc: tuple[OidcIssuerSettings, ...] = Field((), max_length=16)
    """Issuers whose tokens are accepted."""
    grants: tuple[GrantSettings, ...] = Field(default=(), max_length=10_000)
    """What each principal may do; nothing is allowed that no grant allows."""
    events_per_second: float | None = Field(None, gt=0)
    """Events that a principal may publish per second whom none of ``limits`` fits; no limit when empty."""
    burst_events: int = Field(1_000, ge=1)
    """Events that such a principal may publish at once after a pause."""
    limits: tuple[LimitSettings, ...] = Field(default=(), max_length=10_000)
    """What principals may use; of several that fit a principal, the first holds."""
    reserved_share: float = Field(0.1, ge=0, lt=1)
    """Part of what the gateway can work on that is kept for who uses less than a share of it; 0 keeps nothing."""
    max_tracked_principals: int = Field(10_000, ge=1, le=1_000_000)
    """Principals whose use is remembered; beyond it, who has not called for the longest time begins anew."""

    @property
    def ways(self) -> frozenset[str]:
        """How callers may prove who they are, or that they need not."""
        return frozenset(self.methods) if self.mode == "several" else frozenset({self.mode})

    @property
    def uses_key_table(self) -> bool:
        """Whether keys of the table are accepted."""
        return self.key_table and "api_keys" in self.ways
