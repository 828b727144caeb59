"""Where the AWS credentials come from: botocore's chain, and a role that is assumed with them.

botocore belongs to the ``aws`` extra and is imported only when it is needed.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from eventbus_gateway.aws import Role, assumed
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.kafka.sigv4 import TOKEN_SECONDS, AwsCredentials

if TYPE_CHECKING:
    from botocore.session import Session

MARGIN_SECONDS = 60
"""A token ends so long before the credentials that signed it."""
_HORIZON_SECONDS = TOKEN_SECONDS + MARGIN_SECONDS + 1
_CONNECT_SECONDS = 2.0
_READ_SECONDS = 4.0


class NoCredentialsError(Exception):
    """There are no usable credentials now.

    Args:
        reason: why, without anything secret.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Lent(NamedTuple):
    """Credentials, and how long they are good.

    Args:
        credentials: to sign with.
        seconds: until they end, as far as anybody who signs cares; None where they never do.
    """

    credentials: AwsCredentials
    seconds: int | None


def is_installed() -> bool:
    """Whether the ``aws`` extra is there."""
    try:
        import botocore.session  # noqa: F401, PLC0415  only who signs in with IAM needs it
    except ImportError:
        return False
    return True


def new_session(settings: KafkaSettings, region: str) -> "Session":
    """A botocore session that gives up in time and asks the STS of the right region.

    Args:
        settings: profile and region of STS.
        region: of the cluster.

    Raises:
        ImportError: the extra is missing.
    """
    import botocore.config  # noqa: PLC0415  only who signs in with IAM needs it
    import botocore.session  # noqa: PLC0415

    session = botocore.session.Session(profile=settings.iam_profile)
    return prepared(session, settings.iam_sts_region or region)


def prepared(session: "Session", sts_region: str) -> "Session":
    """The session with timeouts, second tries and the region of STS."""
    import botocore.config  # noqa: PLC0415

    session.set_config_variable("region", sts_region)
    session.set_config_variable("sts_regional_endpoints", "regional")
    session.set_default_client_config(
        botocore.config.Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"total_max_attempts": 2, "mode": "standard"},
        )
    )
    return session


class CredentialSource:
    """Credentials of one identity, renewed by botocore before they end. Calls block, on the network at times.

    Args:
        settings: the role to assume, if any.
        open_session: makes the botocore session, at the first call.
    """

    def __init__(self, settings: KafkaSettings, open_session: "Callable[[], Session]") -> None:
        self._settings = settings
        self._open_session = open_session
        self._lock = threading.Lock()
        self._found: Any = None

    def lend(self) -> Lent:
        """Credentials that are good now.

        Raises:
            NoCredentialsError: there are none.
        """
        try:
            with self._lock:
                if self._found is None:
                    self._found = self._find()
                frozen = self._found.get_frozen_credentials()
                lent = AwsCredentials(frozen.access_key, frozen.secret_key, frozen.token or None)
                return Lent(lent, _seconds_left(self._found))
        except NoCredentialsError:
            raise
        except Exception as error:  # noqa: BLE001  botocore's providers raise whatever their sources do
            raise NoCredentialsError(_reason(error)) from None

    def _find(self) -> Any:
        session = self._open_session()
        credentials = session.get_credentials()
        if credentials is None:
            raise NoCredentialsError("the default chain found no credentials")
        settings = self._settings
        if settings.iam_role_arn is None:
            return credentials
        role = Role(settings.iam_role_arn, settings.iam_role_session_name, settings.iam_external_id)
        return assumed(session.create_client, credentials, role)


def _seconds_left(credentials: Any) -> int | None:
    """How long credentials are good, as far as a token's life; None for those that do not end.

    botocore only tells whether they end within some time, so that is asked for one time after the other.
    """
    needed = getattr(credentials, "refresh_needed", None)
    if needed is None:
        return None
    return bisect_left(range(_HORIZON_SECONDS), True, key=needed)


def _reason(error: Exception) -> str:
    """What happened, by names alone: texts of errors quote what was sent."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        code = response.get("Error", {}).get("Code")
        return f"AWS refused with {code}" if isinstance(code, str) and code.isidentifier() else "AWS refused"
    return type(error).__name__
