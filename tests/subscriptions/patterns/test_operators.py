"""What each operator matches."""

import sys
from decimal import Decimal
from typing import Any

import pytest

from eventbus_gateway.subscriptions.patterns import PatternIndex, compile_pattern
from eventbus_gateway.subscriptions.patterns.folding import ending_with, equal_to, spellings, starting_with

OTHER_KINDS: list[Any] = [0, 1, -1, 1.5, True, False, None, "", "0", "1", "true", "null", {}, {"a": 1}, []]


def matches(entry: Any, value: Any) -> bool:
    """Whether a field with this value matches a list with this one entry, alone and in an index."""
    pattern = compile_pattern({"field": [entry]})
    index: PatternIndex[int] = PatternIndex()
    index.add(1, pattern)
    alone = pattern.matches({"field": value})
    assert (index.matching({"field": value}) == [1]) == alone
    return alone


@pytest.mark.parametrize("wanted", ["", "0", "true", "null", 0, 1, 1.5, True, False, None])
def test_a_value_is_matched_by_itself_and_by_no_other_kind(wanted: Any) -> None:
    assert matches(wanted, wanted)
    for other in OTHER_KINDS:
        same = type(other) is type(wanted) and other == wanted
        assert matches(wanted, other) == same, other


@pytest.mark.parametrize(
    ("wanted", "value", "expected"),
    [
        (1, 1.0, True),
        (1.0, 1, True),
        (100, Decimal("1E+2"), True),
        (Decimal("0.1"), 0.1, True),
        (-0.0, 0, True),
        (10**15, 1e15, True),
        (10**22, 1e22, True),
        (10**23, 1e23, True),  # the nearest double is another whole number, its shortest decimal is this one
        (2**53 + 1, 2**53 + 1, True),
        (2**53 + 1, 2**53, False),
        (2**53 + 1, float(2**53), False),
        (2**63, float(2**63), False),
        (10**400, 10**400, True),
        (10**400, 10**401, False),
        (Decimal("1E+999999"), Decimal("1E+999999"), True),
        (Decimal("0.1000000000000000000001"), 0.1, False),
    ],
)
def test_numbers_are_the_same_by_value_as_far_as_doubles_tell_them_apart(
    wanted: Any, value: Any, expected: bool
) -> None:
    assert matches(wanted, value) == expected


@pytest.mark.parametrize(
    ("wanted", "value", "expected"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "010.000.000.001", True),
        ("10.0.0.1", "::ffff:a00:1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "10.0.0.1 ", False),
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("2001:DB8::1", "2001:db8::1", True),
        ("::1", "::2", False),
        ("0.0.0.1", "::1", False),
        ("256.0.0.1", "256.0.0.1", True),  # not an address, but the same string
        ("08:23", "08:23", True),
        ({"exactly": "10.0.0.1"}, "010.0.0.1", False),
        ({"exactly": "10.0.0.1"}, "10.0.0.1", True),
    ],
)
def test_a_string_that_is_an_address_is_matched_by_every_spelling_of_it(
    wanted: Any, value: str, expected: bool
) -> None:
    assert matches(wanted, value) == expected


@pytest.mark.parametrize(
    ("entry", "accepted", "refused"),
    [
        ({"exactly": "a"}, ["a"], ["A", "aa", "", 1]),
        ({"prefix": "ab"}, ["ab", "abc"], ["a", "Ab", "cab", 1, None]),
        ({"prefix": ""}, ["", "a"], [1, True, None, {}]),
        ({"suffix": "bc"}, ["bc", "abc"], ["c", "bC", "bca", 1]),
        ({"suffix": ""}, ["", "a"], [0, False, None]),
        ({"equals-ignore-case": "aBc"}, ["abc", "ABC", "AbC"], ["ab", "abcd", 1]),
        ({"equals-ignore-case": "k"}, ["k", "K"], ["\N{KELVIN SIGN}", ""]),
        ({"equals-ignore-case": "Äß"}, ["äß", "ÄSS", "Äß"], ["äs", "as", "ÄS"]),
        ({"prefix": {"equals-ignore-case": "aB"}}, ["ab", "ABC"], ["a", "cab", 1]),
        ({"prefix": {"equals-ignore-case": "k"}}, ["kelvin", "K"], ["\N{KELVIN SIGN}elvin", ""]),
        ({"prefix": {"equals-ignore-case": "é"}}, ["É", "école"], ["e", "", 1]),
        ({"suffix": {"equals-ignore-case": "bC"}}, ["bc", "aBC"], ["c", "bca", 1]),
        (
            {"suffix": {"equals-ignore-case": "straße"}},
            ["Hauptstrasse".replace("ss", "ß"), "STRASSE"],
            ["strase", ""],
        ),
        ({"wildcard": "*"}, ["", "a", "*"], [1, None, True]),
        ({"wildcard": "a*c"}, ["ac", "abc", "a*c", "acc"], ["a", "c", "abcd", "bac"]),
        ({"wildcard": "ab*ba"}, ["abba", "abXba"], ["aba", "abb"]),
        ({"wildcard": "*b*b*"}, ["bb", "abcbd"], ["b", "abc"]),
        ({"wildcard": "a\\*c"}, ["a*c"], ["abc", "a\\*c"]),
        ({"wildcard": "a\\\\*c"}, ["a\\c", "a\\bc"], ["a*c", "abc"]),
        ({"wildcard": "plain"}, ["plain"], ["plai", "plains"]),
        ({"wildcard": ""}, [""], ["a"]),
        ({"wildcard": "データ*件"}, ["データ件", "データ12件"], ["データ12"]),
        ({"anything-but": "a"}, ["b", "", 1, None, True], ["a"]),
        ({"anything-but": ["a", "b"]}, ["c", 1], ["a", "b"]),
        ({"anything-but": 1}, [2, "1", True, None], [1, 1.0]),
        ({"anything-but": [1, 2.5]}, [2, "a"], [1, 2.5]),
        ({"anything-but": {"prefix": "a"}}, ["b", "", 1, None], ["a", "ab"]),
        ({"anything-but": {"prefix": ["a", "b"]}}, ["c"], ["ab", "b"]),
        ({"anything-but": {"suffix": "a"}}, ["ab", 1], ["a", "ba"]),
        ({"anything-but": {"suffix": ["a", "b"]}}, ["c"], ["ba", "b"]),
        ({"anything-but": {"equals-ignore-case": "Ab"}}, ["a", 1], ["ab", "AB"]),
        ({"anything-but": {"equals-ignore-case": ["Ab", ""]}}, ["a"], ["ab", ""]),
        ({"anything-but": {"wildcard": "a*c"}}, ["ab", 1], ["ac", "abc"]),
        ({"anything-but": {"wildcard": ["a*c", "x"]}}, ["ab"], ["ac", "x"]),
        ({"numeric": ["=", 3]}, [3, 3.0, Decimal("3.0")], [2, "3", True, None, 3.1]),
        ({"numeric": ["<", 3]}, [2, -5, 2.9], [3, 4, "2", None, True]),
        ({"numeric": ["<=", 3]}, [3, 2], [3.1, "3"]),
        ({"numeric": [">", 0]}, [1, 0.1, 1e300], [0, -1, "1", True]),
        ({"numeric": [">=", 0]}, [0, -0.0, 1], [-0.1, False]),
        ({"numeric": [">", 0, "<=", 5]}, [0.1, 5, Decimal("4.2")], [0, 5.1, "3", True]),
        ({"numeric": [">=", 0, "<", 5]}, [0, 4.9], [5, -1]),
        (
            {"numeric": [">", 0]},
            [2**53],
            [2**53 + 1, 2**63, 10**400, float("inf"), float("nan"), Decimal("1E+999999")],
        ),
        (
            {"cidr": "10.0.0.0/8"},
            ["10.0.0.0", "10.255.255.255", "10.1.2.3"],
            ["11.0.0.0", "9.9.9.9", "::a00:1", "x", 1],
        ),
        ({"cidr": "192.0.2.77/24"}, ["192.0.2.0", "192.0.2.255"], ["192.0.3.0"]),
        ({"cidr": "0.0.0.0/0"}, ["1.2.3.4"], ["::1", "256.1.1.1", "1.2.3"]),
        ({"cidr": "2001:db8::/32"}, ["2001:db8::1", "2001:DB8:ffff::"], ["2001:db9::", "10.0.0.1"]),
        ({"cidr": "::/0"}, ["::1"], ["10.0.0.1", ":", "::1%eth0", "1::2::3"]),
        ({"exists": True}, [1, "", None, False, ["a"]], [{}, {"a": 1}, []]),
        ({"exists": False}, [{}, {"a": 1}, [], [{}]], [1, "", None, ["a"]]),
    ],
)
def test_an_operator_accepts_and_refuses(entry: Any, accepted: list[Any], refused: list[Any]) -> None:
    for value in accepted:
        assert matches(entry, value), value
    for value in refused:
        assert not matches(entry, value), value


@pytest.mark.parametrize(
    "entry",
    [
        *(
            {"exactly": "a"},
            {"prefix": ""},
            {"suffix": ""},
            {"equals-ignore-case": "a"},
            {"wildcard": "*"},
            "a",
            None,
        ),
        *({"anything-but": "a"}, {"anything-but": 1}, {"anything-but": {"prefix": "a"}}, {"numeric": ["<", 9]}),
        *({"cidr": "0.0.0.0/0"}, {"exists": True}, "10.0.0.1"),
    ],
)
def test_only_absence_matches_a_field_that_is_missing(entry: Any) -> None:
    assert not compile_pattern({"field": [entry]}).matches({"other": 1})
    assert compile_pattern({"field": [entry, {"exists": False}]}).matches({"other": 1})


def test_one_entry_of_a_list_is_enough() -> None:
    pattern = compile_pattern({"field": ["a", 5, {"prefix": "x"}, {"numeric": [">", 9]}]})
    assert [value for value in ("a", 5, "xy", 10, "b", 6, None) if pattern.matches({"field": value})] == [
        "a",
        5,
        "xy",
        10,
    ]


def test_every_character_is_equal_to_itself_and_its_cases() -> None:
    for code in range(0x80, sys.maxunicode + 1):
        character = chr(code)
        forms = spellings(character)
        if len(forms) == 1 and code > 0x2FFF:  # the many that have no case
            continue
        equal, start, end = equal_to(character), starting_with(character), ending_with(character)
        for form in forms:
            assert equal(form), code
            assert start(form + "-"), code
            assert end("-" + form), code
        for form in forms:
            others = [other for other in forms if other != form]
            # Else a choice could have to be undone, and the time for a long text would explode.
            assert not any(other.startswith(form) or other.endswith(form) for other in others), code
