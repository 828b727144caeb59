"""Every case of the reference implementation's conformance data.

The data is no part of this project. It is looked for beside the checkout, in ``../shared/event-patterns``, or where
``EVENTBUS_EVENT_PATTERNS`` says.
"""

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from eventbus_gateway.subscriptions.patterns import InvalidPattern, PatternIndex, compile_pattern

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("EVENTBUS_EVENT_PATTERNS", ROOT / ".." / "shared" / "event-patterns"))


def rows(name: str) -> list[dict[str, Any]]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"there is no conformance data at {DATA}; EVENTBUS_EVENT_PATTERNS can name another folder")
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return found


def answers(pattern: Any, event: Any) -> set[bool]:
    """The answer of the pattern and that of an index that holds it."""
    compiled = compile_pattern(pattern)
    index: PatternIndex[str] = PatternIndex()
    index.add("it", compiled)
    return {compiled.matches(event), index.matching(event) == ["it"]}


@pytest.mark.parametrize("numbers", [float, Decimal])
def test_an_event_matches_as_in_the_reference(numbers: type) -> None:
    cases = rows("match.json")
    wrong = [
        case
        for case in cases
        if answers(
            json.loads(case["pattern_text"], parse_float=numbers), json.loads(case["event_text"], parse_float=numbers)
        )
        != {case["match"]}
    ]
    assert wrong == []
    assert len(cases) >= 859


def test_a_value_matches_as_in_the_reference() -> None:
    cases = rows("value-match.json")
    assert [case for case in cases if answers(case["pattern"], case["event"]) != {case["match"]}] == []
    assert len(cases) >= 1785


def test_many_patterns_match_as_in_the_reference() -> None:
    cases = rows("multi.json")
    wrong = []
    for case in cases:
        index: PatternIndex[tuple[str, int]] = PatternIndex()
        compiled = {(rule["name"], at): compile_pattern(rule["pattern"]) for at, rule in enumerate(case["rules"])}
        for id_, pattern in compiled.items():
            index.add(id_, pattern)
        together = {name for name, _ in index.matching(case["event"])}
        alone = {name for (name, _), pattern in compiled.items() if pattern.matches(case["event"])}
        if not together == alone == set(case["matched"]):
            wrong.append(case)
    assert wrong == []
    assert len(cases) >= 234


class Repeated(Exception):
    """A key that is there twice, which a dict could not show."""


def without_repetition(members: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(members)) != len(members):
        raise Repeated
    return dict(members)


def is_valid(text: str, *, overriding: bool) -> bool:
    try:
        if overriding:
            compile_pattern(json.loads(text, parse_float=Decimal))
        else:
            once = json.loads(text, parse_float=Decimal, object_pairs_hook=without_repetition)
            compile_pattern(once, repeated="refused")
    except (json.JSONDecodeError, Repeated, InvalidPattern):
        return False
    return True


def test_a_pattern_is_accepted_or_refused_as_in_the_reference() -> None:
    # The other compiler's rows are about an older grammar.
    cases = [case for case in rows("validity.json") if case["compiler"] == "json"]
    wrong = [case for case in cases if is_valid(case["pattern_text"], overriding=case["overriding"]) != case["valid"]]
    assert wrong == []
    assert len(cases) >= 150
