"""How much a principal may do: its own limits, and its share of what the gateway has."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from eventbus_gateway.auth.accounts import Account
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.auth.settings import AuthSettings, LimitSettings
from eventbus_gateway.auth.shares import Bounds, Pools

_NO_LIMITS = LimitSettings(principal="*")


class Limits:
    """The accounts of all principals, and what they share.

    Args:
        terms: limits, the first that fit a principal hold; those of nobody in particular come last.
        bounds: how much the gateway works on at the same time.
        reserve: part of the bounds that stays free for those who hold less than their share.
        max_accounts: principals that are remembered at the same time.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        terms: Sequence[LimitSettings],
        bounds: Bounds,
        reserve: float,
        max_accounts: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terms = terms
        self._max_accounts = max_accounts
        self._clock = clock
        self._accounts: OrderedDict[str, Account] = OrderedDict()
        self.pools = Pools(bounds, reserve)

    def account(self, principal: Principal) -> Account:
        """The account of a principal."""
        accounts, name = self._accounts, principal.name
        account = accounts.get(name)
        if account is None:
            account = accounts[name] = Account(principal, self._terms_of(principal), self.pools, self._clock)
            if len(accounts) > self._max_accounts:
                self._forget_one(account)
            return account
        accounts.move_to_end(name)
        roles = principal.roles
        if account.roles is not roles and account.roles != roles:
            account.agree(roles, self._terms_of(principal))
        return account

    def _terms_of(self, principal: Principal) -> LimitSettings:
        for terms in self._terms:
            if terms.role in principal.roles if terms.role is not None else terms.principal in {principal.name, "*"}:
                return terms
        return _NO_LIMITS

    def _forget_one(self, newest: Account) -> None:
        # Who has not called for the longest time. What is under way counts on, so an account with some of it is kept;
        # and so is that of whoever calls now, or its limits would begin anew with each call.
        for name, account in self._accounts.items():
            if account.is_at_rest and account is not newest:
                del self._accounts[name]
                return


def limits(settings: AuthSettings, bounds: Bounds, clock: Callable[[], float] = time.monotonic) -> Limits | None:
    """The limits as configured, None where there is nothing to limit and nobody to share with.

    Args:
        settings: the section.
        bounds: how much the gateway works on at the same time.
        clock: seconds, monotonic.
    """
    everybody = LimitSettings(
        principal="*", events_per_second=settings.events_per_second, burst_events=settings.burst_events
    )
    terms = (*settings.limits, everybody)
    is_alone = settings.mode == "anonymous"
    if is_alone and not settings.limits and settings.events_per_second is None:
        return None
    return Limits(terms, bounds, 0.0 if is_alone else settings.reserved_share, settings.max_tracked_principals, clock)
