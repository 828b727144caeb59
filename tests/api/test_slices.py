"""Topics without schema store the JSON exactly as it came, in every media type."""

import json
from decimal import Decimal
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.api.publishing import CLOUDEVENT, CLOUDEVENTS, JSON, NDJSON, problem, publish, stored
from tests.serving import Served

from eventbus_gateway.api.slices import data_of, data_of_each

VERBATIM = [
    b'{"n": 123456789012345678901234567890}',
    b'{ "a" : [ 1 , 2 ] ,\t"b":{ } }',
    b'{"a":1,"a":2}',
    b'{"\\u0061":"\\u00e9 \\ud83d\\ude00 \\/ \\" } ] , :"}',
    b'{"f":1.10,"e":1E2,"z":-0}',
    '"ünïcödé 😀"'.encode(),
    b'"\\\\"',
    b'"\\\\\\""',
    b"true",
    b"null",
    b"-1.5e-3",
    b"[]",
    b"[[[[]]],{}]",
    b"[" * 1_000 + b"]" * 1_000,
    b'{"a":' * 500 + b"1" + b"}" * 500,
]


@pytest.mark.parametrize("text", VERBATIM, ids=range(len(VERBATIM)))
@pytest.mark.parametrize(
    ("media", "before", "after"),
    [
        (JSON, b"", b""),
        (NDJSON, b"", b"\n"),
        (NDJSON, b"\r\n \n", b"\r\n\r\n"),
        (CLOUDEVENT, b'{"specversion":"1.0","data":', b"}"),
        (CLOUDEVENT, b' { "data" : ', b' , "specversion" : "1.0" } '),
        (CLOUDEVENT, b'{"data":"not this","specversion":"1.0","d\\u0061ta":', b',"database":"data"}'),
        (CLOUDEVENTS, b'[{"specversion":"1.0","data":', b"}]"),
        (CLOUDEVENTS, b' [ { "data" : ', b' , "specversion" : "1.0" } ] '),
    ],
)
def test_the_json_is_stored_as_it_came(gateway: Served, media: str, before: bytes, text: bytes, after: bytes) -> None:
    answer = publish(gateway, "notes", before + text + after, media)
    assert answer.status_code < 300, answer.text
    assert stored(gateway, "notes").value == text


@pytest.mark.parametrize("media", [JSON, NDJSON, CLOUDEVENT, CLOUDEVENTS])
@pytest.mark.parametrize("depth", [1_015, 1_022, 1_023, 1_024, 1_025, 5_000, 200_000])
def test_no_depth_of_nesting_breaks_the_gateway(gateway: Served, media: str, depth: int) -> None:
    text = b"[" * depth + b"]" * depth
    shell = {CLOUDEVENT: b'{"specversion":"1.0","data":%s}', CLOUDEVENTS: b'[{"specversion":"1.0","data":%s}]'}
    body = shell.get(media, b"%s") % text
    answer = publish(gateway, "notes", body, media)
    assert answer.status_code in {200, 201, 400, 422}
    if answer.status_code < 300:
        assert stored(gateway, "notes").value == text
    elif answer.status_code == 400:
        assert "nested" in problem(answer, 400, "invalid_json")["detail"]


class Members(list[tuple[str, Any]]):
    """An object whose names may repeat."""


# Numbers stand as text, since it is the text that counts.
NUMBERS = st.sampled_from(["-0", "1.50", "1E+2", "0.1e-7", str(10**30), "7"]).map(Decimal)
STRINGS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(['"', "\\", '{"]', "data"])
VALUES = st.recursive(
    st.booleans() | st.none() | NUMBERS | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(STRINGS, inner), max_size=3).map(Members),
    max_leaves=8,
)
NAMES = st.sampled_from(["data", "data", "database", "dat", '"data', "id", "", "\\data"])
ENVELOPES = st.lists(st.tuples(NAMES, VALUES), max_size=5).map(Members)
SEEDS = st.integers(0, 2**32).map(Random)


class Writer:
    """Writes JSON with whitespace and escapes as they come.

    Args:
        chance: decides them.
    """

    def __init__(self, chance: Random) -> None:
        self._chance = chance

    def space(self) -> str:
        return self._chance.choice(["", "", "", " ", "\n", "\t \r\n"])

    def string(self, text: str) -> str:
        escaped = json.dumps(text, ensure_ascii=self._chance.random() < 0.5)
        if text == "data" and self._chance.random() < 0.5:
            return '"d\\u0061ta"'
        return escaped

    def value(self, value: Any) -> str:
        if isinstance(value, Members):
            return self._laid_out("{}", [self.member(name, item) for name, item in value])
        if isinstance(value, list):
            return self._laid_out("[]", [self.value(item) for item in value])
        if isinstance(value, str):
            return self.string(value)
        return str(value) if isinstance(value, Decimal) else json.dumps(value)

    def member(self, name: str, value: Any, text: str | None = None) -> str:
        text = self.value(value) if text is None else text
        return f"{self.string(name)}{self.space()}:{self.space()}{text}"

    def envelope(self, members: Members) -> tuple[str, str]:
        """The text of an object, and the text of the last of its members that is called data."""
        found, parts = "", []
        for name, value in members:
            text = self.value(value)
            found = text if name == "data" else found
            parts.append(self.member(name, value, text))
        return self._laid_out("{}", parts), found

    def batch(self, items: list[str]) -> str:
        return self.space() + self._laid_out("[]", items) + self.space()

    def _laid_out(self, brackets: str, parts: list[str]) -> str:
        spaced = ",".join(f"{self.space()}{part}{self.space()}" for part in parts)
        return brackets[0] + (spaced or self.space()) + brackets[1]


@settings(deadline=None)
@given(ENVELOPES, SEEDS)
def test_the_slice_of_an_envelope_is_the_text_that_was_written(members: Members, chance: Random) -> None:
    writer = Writer(chance)
    text, data = writer.envelope(members)
    body = f"{writer.space()}{text}{writer.space()}".encode()
    orjson.loads(body)
    assert data_of(body) == data.encode()


@settings(deadline=None)
@given(st.lists(ENVELOPES | NUMBERS | STRINGS | st.lists(VALUES, max_size=2), max_size=5), SEEDS)
def test_the_slices_of_a_batch_are_the_texts_that_were_written(items: list[Any], chance: Random) -> None:
    writer = Writer(chance)
    written = [writer.envelope(item) if isinstance(item, Members) else (writer.value(item), "") for item in items]
    body = writer.batch([text for text, _ in written]).encode()
    orjson.loads(body)
    assert list(data_of_each(body)) == [data.encode() for _, data in written]
