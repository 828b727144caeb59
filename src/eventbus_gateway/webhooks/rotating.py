"""Signatures of one subscription while its secrets change."""

from collections.abc import Sequence

from eventbus_gateway.subscriptions.signing_secrets import SigningSecret
from eventbus_gateway.subscriptions.vault import legible
from eventbus_gateway.webhooks.signing import InvalidSecret, Secret, Signer


class RotatingSigner:
    """Signs with every secret that still counts at the time of a request.

    Args:
        secrets: the newest first, with the end of each in milliseconds since the epoch.
    """

    def __init__(self, secrets: Sequence[tuple[Secret, int | None]]) -> None:
        self._use(secrets)

    def headers(self, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """The three headers of a delivery; see ``Signer.headers``.

        Args:
            message_id: the same for each attempt.
            timestamp: seconds since the epoch.
            body: as it is sent.
        """
        if self._ends_at is not None and timestamp * 1_000 >= self._ends_at:
            # The newest has no end, so one is always left.
            self._use([each for each in self._secrets if each[1] is None or each[1] > timestamp * 1_000])
        return self._signer.headers(message_id, timestamp, body)

    def _use(self, secrets: Sequence[tuple[Secret, int | None]]) -> None:
        self._secrets = secrets
        self._signer = Signer([secret for secret, _ in secrets])
        self._ends_at = min([end for _, end in secrets if end is not None], default=None)


def signer_of(signing: Sequence[SigningSecret]) -> RotatingSigner | None:
    """What signs for a subscription, None where one of its secrets cannot be had.

    Args:
        signing: its secrets, the newest first.
    """
    secrets: list[tuple[Secret, int | None]] = []
    for each in signing:
        text = legible(each.secret)
        if text is None:
            return None
        try:
            secrets.append((Secret.parse(text), each.until))
        except InvalidSecret:
            return None
    return RotatingSigner(secrets) if secrets else None
