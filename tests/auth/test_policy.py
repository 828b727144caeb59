"""What a principal may do."""

import pytest

from eventbus_gateway.auth.policy import Action, Policy, policy
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.auth.settings import AuthSettings, GrantSettings
from eventbus_gateway.errors import Forbidden

A, B = Principal("a"), Principal("b")


def _grant(principal: str, *topics: str, action: str = "publish") -> GrantSettings:
    return GrantSettings.model_validate({"principal": principal, "actions": [action], "topics": topics})


def _publishes(grants: list[GrantSettings], principal: Principal, topic: str) -> bool:
    return Policy(grants).may(principal, Action.PUBLISH, topic)


def test_nothing_is_allowed_without_a_grant() -> None:
    assert not _publishes([], A, "t")


def test_a_grant_holds_for_its_principal_its_action_and_its_topics() -> None:
    allowed = Policy([_grant("a", "t", "u")])
    assert allowed.may(A, Action.PUBLISH, "t")
    assert allowed.may(A, Action.PUBLISH, "u")
    assert not allowed.may(A, Action.PUBLISH, "v")
    assert not allowed.may(A, Action.READ, "t")
    assert not allowed.may(B, Action.PUBLISH, "t")


@pytest.mark.parametrize(
    ("pattern", "topic", "matches"),
    [
        ("*", "anything", True),
        ("clinic.*", "clinic.visits", True),
        ("clinic.*", "clinic.", True),
        ("clinic.*", "clinicXvisits", False),
        ("clinic.*", "clinic", False),
        ("clinic.*", "other.clinic.visits", False),
        ("*.visits", "clinic.visits", True),
        ("*.visits", "clinic.visits.dlq", False),
        ("a*b*c", "axxbyyc", True),
        ("a*b*c", "acb", False),
        ("visits", "visits2", False),
        ("visits", "Visits", False),
        ("v.sits", "visits", False),
        ("[a-z]+", "abc", False),
        ("*", "two\nlines", False),
    ],
)
def test_only_the_star_of_a_pattern_is_special(pattern: str, topic: str, *, matches: bool) -> None:
    assert _publishes([_grant("a", pattern)], A, topic) is matches


def test_grants_add_up() -> None:
    grants = [_grant("a", "t"), _grant("a", "u*"), _grant("*", "open")]
    assert all(_publishes(grants, A, topic) for topic in ("t", "u1", "open"))


def test_a_grant_to_all_holds_for_everybody_who_is_known() -> None:
    assert _publishes([_grant("*", "open")], B, "open")
    assert not _publishes([_grant("*", "open")], B, "closed")


def test_a_refusal_says_the_action_and_never_the_topic() -> None:
    with pytest.raises(Forbidden) as refused:
        Policy([]).require(A, Action.PUBLISH, "secret-topic")
    assert "publish" in str(refused.value)
    assert "secret-topic" not in str(refused.value)


def test_the_anonymous_mode_allows_everything_and_the_other_nothing_by_itself() -> None:
    assert policy(AuthSettings(mode="anonymous")).may(A, Action.READ, "t")
    assert not policy(AuthSettings()).may(A, Action.READ, "t")
