"""Topics without schema store the JSON exactly as it came, in every media type."""

import json
from collections.abc import Iterator

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


def _spaces() -> st.SearchStrategy[str]:
    return st.sampled_from(["", "", "", " ", "\n", "\t \r\n"])


def _joined(parts: list[str], brackets: str) -> st.SearchStrategy[str]:
    def lay_out(gaps: list[str]) -> str:
        spaced = [f"{before}{part}{after}" for part, before, after in zip(parts, gaps[::2], gaps[1::2], strict=True)]
        return brackets[0] + ",".join(spaced) + brackets[1]

    return st.lists(_spaces(), min_size=2 * len(parts), max_size=2 * len(parts)).map(lay_out)


def _strings() -> st.SearchStrategy[str]:
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(['"', "\\", '{"]', "data"])
    return st.builds(lambda value, plain: json.dumps(value, ensure_ascii=plain), text, st.booleans())


def _texts() -> st.SearchStrategy[str]:
    numbers = st.integers().map(str) | st.sampled_from(["-0", "1.50", "1E+2", "0.1e-7", str(10**30)])
    leaves = _strings() | numbers | st.sampled_from(["true", "false", "null"])

    def deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        members = st.tuples(_strings(), _spaces(), inner).map(lambda found: f"{found[0]}{found[1]}:{found[2]}")
        return st.lists(inner, max_size=4).flatmap(lambda parts: _joined(parts, "[]")) | st.lists(
            members, max_size=4
        ).flatmap(lambda parts: _joined(parts, "{}"))

    return st.recursive(leaves, deeper, max_leaves=12)


NAMES = ['"data"', '"d\\u0061ta"', '"database"', '"dat"', '"\\"data"', '"id"', '""', '"d\\\\u0061ta"']


@st.composite
def envelopes(draw: st.DrawFn) -> tuple[str, str]:
    """The text of an object and of its last ``data`` member."""
    members = draw(st.lists(st.tuples(st.sampled_from(NAMES), _texts()), max_size=5))
    found = [text for name, text in members if json.loads(name) == "data"]
    gaps = draw(st.lists(_spaces(), min_size=len(members), max_size=len(members)))
    parts = [f"{name}{gap}:{gap}{text}" for (name, text), gap in zip(members, gaps, strict=True)]
    return draw(_joined(parts, "{}")), found[-1] if found else ""


@settings(max_examples=150, deadline=None)
@given(envelopes(), _spaces())
def test_the_slice_of_an_envelope_is_the_text_that_was_written(envelope: tuple[str, str], space: str) -> None:
    text, data = envelope
    orjson.loads(text)
    assert data_of(f"{space}{text}{space}".encode()) == data.encode()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_slices_of_a_batch_are_the_texts_that_were_written(draws: st.DataObject) -> None:
    others = _texts().filter(lambda text: not text.startswith("{")).map(lambda text: (text, ""))
    items = draws.draw(st.lists(envelopes() | others, max_size=5))
    body = draws.draw(_joined([text for text, _ in items], "[]")).encode()
    orjson.loads(body)
    found: Iterator[bytes] = data_of_each(body)
    assert list(found) == [data.encode() for _, data in items]
