"""What is checked in bodies of callers, and not again in what is stored."""

from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import ValidationInfo

from eventbus_gateway.errors import InvalidSubscription
from eventbus_gateway.subscriptions.settings import SubscriptionSettings


def no_url(_: str) -> None:
    """Refuse every URL, where nothing can say which ones may be called.

    Raises:
        InvalidSubscription: always.
    """
    raise InvalidSubscription("This gateway calls no URLs.")


class SpecRules(NamedTuple):
    """What is checked in bodies of callers, and not again in what is stored.

    Args:
        settings: limits.
        check_filter: raises an EventError for what is no filter.
        check_url: raises an EventError for a URL that may not be called; its detail is told and must not quote it.
        asks_receivers: whether receivers can be asked for their consent.
    """

    settings: SubscriptionSettings
    check_filter: Callable[[Any], object]
    check_url: Callable[[str], object] = no_url
    asks_receivers: bool = False


def rules_of(info: ValidationInfo) -> SpecRules | None:
    """The rules for a body of a caller, None for what is stored."""
    return info.context if isinstance(info.context, SpecRules) else None
