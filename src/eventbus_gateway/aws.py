"""Roles that the gateway assumes at AWS, for whatever it does with them.

botocore belongs to the ``aws`` extra and is imported only when it is needed.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import SecretStr

if TYPE_CHECKING:
    from botocore.credentials import Credentials, DeferredRefreshableCredentials


class Role(NamedTuple):
    """A role to assume.

    Args:
        arn: of the role.
        session_name: the same for as long as the process runs: brokers take it for a part of the principal, and trust
            policies may ask for it.
        external_id: what the role's trust policy asks for, if anything.
    """

    arn: str
    session_name: str
    external_id: SecretStr | None


def assumed(create_client: Callable[..., Any], own: "Credentials", role: Role) -> "DeferredRefreshableCredentials":
    """Credentials of a role, asked for when they are needed first and renewed before they end.

    Args:
        create_client: makes the client of STS.
        own: credentials that may assume the role.
        role: the role.
    """
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials  # noqa: PLC0415

    extra = {"RoleSessionName": role.session_name}
    if role.external_id is not None:
        extra["ExternalId"] = role.external_id.get_secret_value()
    fetcher = AssumeRoleCredentialFetcher(create_client, own, role.arn, extra_args=extra)
    return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
