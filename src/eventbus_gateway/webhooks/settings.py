"""The ``[webhooks]`` section of the configuration."""

from pydantic import SecretStr

from eventbus_gateway.section import Section


class WebhookSettings(Section):
    """Signed pushes to receivers, and how their secrets are kept."""

    secret_keys: SecretStr | None = None
    """Keys that encrypt the secrets of webhooks where they are stored: 32 random bytes in base64 each, separated by
    spaces, the same everywhere. The first one encrypts, all of them decrypt, so a new one is put in front of the old
    one."""
