"""Secrets of subscriptions on their way into the store and back."""

from typing import NamedTuple, Protocol

from pydantic import SecretStr

from eventbus_gateway.errors import InternalError


class Vault(Protocol):
    """Makes texts of secrets that may be stored; ``webhooks.sealing.Sealer`` does the work."""

    def seal(self, secret: str, subscription_id: str) -> str:
        """The text to store for a secret of a subscription."""
        ...

    def open(self, sealed: str, subscription_id: str) -> str | None:
        """The secret, None where it cannot be had: another key, another subscription, or no such text."""
        ...


class NoVault:
    """Where there is no key, no secret is stored and none is read."""

    def seal(self, secret: str, subscription_id: str) -> str:
        """Refuse; whoever gave the secret was told so before.

        Raises:
            InternalError: always.
        """
        raise InternalError("Secrets cannot be stored without a key.")

    def open(self, sealed: str, subscription_id: str) -> str | None:
        """Nothing."""
        return None


class Sealed(SecretStr):
    """A stored secret that cannot be opened here; its value is the sealed text.

    Whatever is changed beside it stores that text as it was: with the key it can be opened again.
    """


def legible(secret: SecretStr | None) -> str | None:
    """The text of a secret, None where there is none or where it cannot be opened."""
    return None if secret is None or isinstance(secret, Sealed) else secret.get_secret_value()


class Drawer(NamedTuple):
    """The vault for one subscription: context in which its document is written for the store, and read from it.

    Args:
        vault: seals and opens.
        subscription_id: whose secrets.
    """

    vault: Vault
    subscription_id: str

    def sealed(self, secret: str) -> str:
        """See ``Vault.seal``."""
        return self.vault.seal(secret, self.subscription_id)

    def opened(self, sealed: str) -> str | None:
        """See ``Vault.open``."""
        return self.vault.open(sealed, self.subscription_id)
