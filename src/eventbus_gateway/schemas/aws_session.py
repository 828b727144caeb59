"""Who the gateway is to AWS when it asks for schemas: the default credentials, or a role assumed with them."""

from functools import partial

from botocore.config import Config
from botocore.credentials import CredentialProvider, DeferredRefreshableCredentials
from botocore.exceptions import BotoCoreError
from botocore.session import Session

from eventbus_gateway.aws import Role, assumed
from eventbus_gateway.schemas.settings import RegistrySettings

# A name that changed would make other entries in CloudTrail, and break trust policies that ask for it.
ROLE_SESSION_NAME = "eventbus-gateway"
# botocore alone does not look at the first one, which is what the other SDKs read and Kubernetes is given.
_REGION: tuple[str, list[str], None, None] = ("region", ["AWS_REGION", "AWS_DEFAULT_REGION"], None, None)


def default_session(settings: RegistrySettings) -> Session:
    """A session with the credentials of the default chain, or of a profile.

    Raises:
        ValueError: there is no such profile.
    """
    session = Session(session_vars={"region": _REGION}, profile=settings.aws_profile)
    try:
        session.get_scoped_config()
    except BotoCoreError:
        raise ValueError("registry.aws_profile is not a profile of the AWS configuration") from None
    return session


def session_for(settings: RegistrySettings, own: Session) -> Session:
    """The session to call with: the gateway's own, or one of the role that is configured.

    Args:
        settings: role, and where it is asked for.
        own: where the gateway's own credentials come from.
    """
    if settings.aws_role_arn is None:
        return own
    assumed = Session()
    assumed.get_component("credential_provider").insert_before("env", _AssumedRole(settings, own))
    return assumed


def bounds(settings: RegistrySettings) -> Config:
    """Bounds of each call to AWS; one is made again once, as an idle connection may be closed when it is taken."""
    return Config(
        connect_timeout=settings.connect_timeout_seconds,
        read_timeout=settings.timeout_seconds,
        max_pool_connections=settings.max_connections,
        retries={"total_max_attempts": 2, "mode": "standard"},
    )


class _AssumedRole(CredentialProvider):
    """Credentials of a role, renewed before they expire."""

    METHOD = "eventbus-assume-role"

    def __init__(self, settings: RegistrySettings, own: Session) -> None:
        super().__init__()
        self._settings = settings
        self._own = own

    def load(self) -> DeferredRefreshableCredentials | None:
        """Nothing is asked for before the credentials are needed."""
        settings = self._settings
        source = self._own.get_credentials()
        if source is None or settings.aws_role_arn is None:
            return None
        create = partial(
            self._own.create_client,
            region_name=settings.aws_sts_region or region_of(settings, self._own),
            endpoint_url=settings.aws_sts_endpoint_url,
            config=bounds(settings),
        )
        return assumed(create, source, Role(settings.aws_role_arn, ROLE_SESSION_NAME, settings.aws_external_id))


def region_of(settings: RegistrySettings, own: Session) -> str | None:
    """The region of the registry, None where nothing says it."""
    if settings.aws_region is not None:
        return settings.aws_region
    region = own.get_config_variable("region")
    return region if isinstance(region, str) else None
