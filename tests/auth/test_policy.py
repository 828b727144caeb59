"""What a principal may do."""

import fnmatch
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from eventbus_gateway.auth.policy import INCLUDED, Action, Policy, policy
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


@given(st.text("ab*", max_size=6), st.text("ab", max_size=12))
def test_patterns_mean_what_those_of_files_do(pattern: str, topic: str) -> None:
    assert _publishes([_grant("a", pattern)], A, topic) == fnmatch.fnmatchcase(topic, pattern)


def test_no_made_up_topic_keeps_a_pattern_busy() -> None:
    before = time.process_time()
    assert not _publishes([_grant("a", "*-*-*-*-events")], A, "-" * 16_000)
    assert time.process_time() - before < 1.0


def test_what_is_no_name_of_a_topic_takes_no_room() -> None:
    allowed = Policy([_grant("a", "*")])
    tracemalloc.start()
    try:
        for number in range(1_000):
            assert allowed.may(A, Action.PUBLISH, f"{number:016000}")
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 1_000_000


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


# Roles, actions that include others, and what is remembered


def test_a_grant_to_a_role_holds_for_those_who_have_it_and_not_for_a_principal_of_that_name() -> None:
    allowed = Policy([GrantSettings(role="ward", actions=("publish",), topics=("t",))])
    assert allowed.may(Principal("a", frozenset({"x", "ward"})), Action.PUBLISH, "t")
    assert not allowed.may(Principal("a", frozenset({"x"})), Action.PUBLISH, "t")
    assert not allowed.may(Principal("ward"), Action.PUBLISH, "t")
    by_name = Policy([_grant("ward", "t")])
    assert not by_name.may(Principal("a", frozenset({"ward"})), Action.PUBLISH, "t")


def test_the_same_principal_with_other_roles_may_do_other_things() -> None:
    allowed = Policy([GrantSettings(role="ward", actions=("publish",), topics=("t",))])
    for _ in range(2):
        assert allowed.may(Principal("a", frozenset({"ward"})), Action.PUBLISH, "t")
        assert not allowed.may(Principal("a"), Action.PUBLISH, "t")


@pytest.mark.parametrize(
    ("granted", "allows"),
    [
        ("publish", {"publish", "describe"}),
        ("read", {"read", "manage", "subscribe", "describe"}),
        ("manage", {"manage", "subscribe", "describe"}),
        ("subscribe", {"subscribe", "describe"}),
        ("admin", {"admin", "describe"}),
    ],
)
def test_a_grant_allows_its_action_and_those_that_it_includes(granted: str, allows: set[str]) -> None:
    allowed = Policy([_grant("a", "t", action=granted)])
    assert {action.value for action in Action if allowed.may(A, action, "t")} == allows
    assert {action.value for action in Action if allowed.may_anywhere(A, action)} == allows
    assert not any(allowed.may(A, action, "u") or allowed.may_anywhere(B, action) for action in Action)


def test_a_subscription_can_be_given_up_unless_its_topic_may_be_consumed_and_no_more() -> None:
    for granted, may in (("read", True), ("manage", True), ("subscribe", False), ("publish", True)):
        assert Policy([_grant("a", "t", action=granted)]).may_give_up(A, "t") is may
    assert Policy([]).may_give_up(A, "t")


@pytest.mark.parametrize("somebody", [{}, {"principal": "a", "role": "r"}, {"role": "*"}, {"role": "a b"}])
def test_a_grant_names_a_principal_or_a_role(somebody: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        GrantSettings.model_validate({"actions": ["read"], "topics": ["t"], **somebody})


_NAMES = st.sampled_from(["a", "b", "r", "s"])
_TOPICS = st.sampled_from(["t", "tt", "u", "ut"])
_PATTERNS = st.sampled_from(["*", "t", "t*", "*t", "u"])
_GRANTABLE = st.sampled_from(["publish", "read", "subscribe", "manage", "admin"])
_WHO = st.one_of(
    st.builds(lambda name: {"principal": name}, st.one_of(_NAMES, st.just("*"))),
    st.builds(lambda role: {"role": role}, _NAMES),
)


@given(
    st.lists(st.tuples(_WHO, st.lists(_GRANTABLE, min_size=1), st.lists(_PATTERNS, min_size=1)), max_size=6),
    st.lists(
        st.tuples(_NAMES, st.frozensets(_NAMES, max_size=2), st.sampled_from(Action), _TOPICS),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 5),
)
def test_what_is_decided_is_what_the_grants_say_however_little_is_remembered(
    given_: list[tuple[dict[str, str], list[str], list[str]]],
    asked: list[tuple[str, frozenset[str], Action, str]],
    remembered: int,
) -> None:
    grants = [
        GrantSettings.model_validate({**who, "actions": actions, "topics": topics}) for who, actions, topics in given_
    ]
    allowed = Policy(grants, remembered)
    for name, roles, action, topic in asked:
        holds = any(
            (who.get("principal") in {name, "*"} or who.get("role") in roles)
            and any(action in INCLUDED[Action(each)] for each in actions)
            and any(fnmatch.fnmatchcase(topic, pattern) for pattern in topics)
            for who, actions, topics in given_
        )
        assert allowed.may(Principal(name, roles), action, topic) is holds
