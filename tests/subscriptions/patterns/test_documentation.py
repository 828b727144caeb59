"""Every example of the page about filters does what the page says."""

import json
import re
from pathlib import Path

import pytest

from eventbus_gateway.subscriptions.patterns import InvalidPattern, Limits, PatternIndex, compile_filter

PAGE = (Path(__file__).parents[3] / "docs" / "filters.md").read_text()
EXAMPLES = re.findall(r"```json (matches|differs|refused)(?: (\S+))?\n(.*?)```", PAGE, re.DOTALL)
EVENT = json.loads(re.findall(r"```json event\n(.*?)```", PAGE, re.DOTALL)[0])


def test_the_page_has_examples_of_every_operator() -> None:
    assert len(EXAMPLES) > 20
    accepted = "".join(text for kind, _, text in EXAMPLES if kind == "matches")
    for operator in (
        *("prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "numeric", "cidr", "exists", "$or"),
    ):
        assert f'"{operator}"' in accepted


@pytest.mark.parametrize(("kind", "pointer", "text"), EXAMPLES)
def test_an_example_does_what_the_page_says(kind: str, pointer: str, text: str) -> None:
    if kind == "refused":
        with pytest.raises(InvalidPattern) as refused:
            compile_filter(json.loads(text))
        assert refused.value.faults[0].pointer == pointer
        return
    compiled = compile_filter(json.loads(text))
    index: PatternIndex[int] = PatternIndex()
    index.add(1, compiled)
    assert compiled.matches(EVENT) == (kind == "matches")
    assert index.matching(EVENT) == ([1] if kind == "matches" else [])


def test_the_page_states_the_limits() -> None:
    table = PAGE.rpartition("| limit |")[2].replace(",", "")
    assert tuple(int(number) for number in re.findall(r"\d+", table)) == tuple(Limits())
