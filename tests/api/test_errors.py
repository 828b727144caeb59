"""Every error has a stable code, a status, a place in the tree and a row in the documentation."""

import inspect
import re
from pathlib import Path

import orjson
import pytest

from eventbus_gateway import errors
from eventbus_gateway.api.http import PROBLEM
from eventbus_gateway.api.problems import STATUS, problem, status_of
from eventbus_gateway.errors import EventError, Fault, GatewayError, MethodNotAllowed, RateLimited

DOCUMENT = Path(__file__).parents[2] / "docs" / "errors.md"


def _below(kind: type[GatewayError]) -> list[type[GatewayError]]:
    return [kind] + [lower for child in kind.__subclasses__() for lower in _below(child)]


ALL = [kind for kind in _below(GatewayError) if kind.__module__ == errors.__name__]
TOLD = [kind for kind in ALL[1:] if "code" in vars(kind) or not any(other.__base__ is kind for other in ALL)]


def _made(kind: type[GatewayError], retry_after: float | None = None) -> GatewayError:
    if issubclass(kind, EventError):
        return kind("Why.", [Fault("/a", "expected b")])
    if issubclass(kind, MethodNotAllowed):
        return kind("Why.", ["GET", "PUT"])
    return kind("Why.", retry_after=retry_after)


@pytest.mark.parametrize("kind", TOLD, ids=lambda kind: kind.__name__)
def test_an_error_that_callers_see_has_a_code_and_a_title_of_its_own(kind: type[GatewayError]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", vars(kind)["code"])
    assert vars(kind)["title"]
    assert not vars(kind)["title"].endswith(".")


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in TOLD]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", TOLD, ids=lambda kind: kind.__name__)
def test_a_code_is_the_name_of_its_class(kind: type[GatewayError]) -> None:
    assert kind.code.replace("_", "") == kind.__name__.lower()


def test_the_trees_in_docstring_and_code_are_the_same() -> None:
    drawn: list[tuple[str, str | None]] = []
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ((?:│   |    )*)(?:[├└]── )?([A-Z]\w+)", line)
        if found is None or (above and not re.match(r"    [│├└ ]", line)):
            continue
        depth = 0 if not above else len(found[1]) // 4 + 1
        del above[depth:]
        drawn.append((found[2], above[-1] if above else None))
        above.append(found[2])
    assert drawn[0] == ("GatewayError", None)
    real = [(kind.__name__, kind.__base__.__name__ if kind.__base__ else None) for kind in ALL[1:]]
    assert sorted(drawn[1:], key=str) == sorted(real, key=str)


def test_every_status_in_the_table_is_used_and_every_error_finds_one() -> None:
    assert all(any(issubclass(kind, listed) for kind in TOLD) for listed in STATUS)
    for kind in TOLD:
        assert any(listed in STATUS for listed in kind.__mro__), kind


def _rows() -> dict[str, tuple[int, bool]]:
    rows: dict[str, tuple[int, bool]] = {}
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) != 5 or not cells[0].startswith("`"):
            continue
        code, status, again, meaning, remedy = cells
        assert again in {"yes", "no"}, line
        assert meaning.endswith("."), line
        assert remedy.endswith("."), line
        assert code.strip("`") not in rows, line
        rows[code.strip("`")] = (int(status), again == "yes")
    return rows


def test_the_documentation_has_every_code_with_its_status_and_nothing_else() -> None:
    assert _rows() == {kind.code: (status_of(_made(kind)), kind.retryable) for kind in TOLD}


@pytest.mark.parametrize("kind", TOLD, ids=lambda kind: kind.__name__)
def test_every_error_becomes_a_problem_document(kind: type[GatewayError]) -> None:
    answer = problem(_made(kind), "/v1/here", "not_stored")
    document = orjson.loads(answer.body)
    assert answer.content_type == PROBLEM
    faults = document.pop("errors", None)
    assert document == {
        "type": f"urn:eventbus:error:{kind.code}",
        "title": kind.title,
        "status": answer.status,
        "detail": "Why.",
        "code": kind.code,
        "instance": "/v1/here",
        "outcome": "not_stored",
    }
    assert faults == ([{"pointer": "/a", "detail": "expected b"}] if issubclass(kind, EventError) else None)


@pytest.mark.parametrize("kind", TOLD, ids=lambda kind: kind.__name__)
def test_only_what_can_succeed_later_says_when(kind: type[GatewayError]) -> None:
    headers = dict(problem(_made(kind), "/").headers)
    assert (b"retry-after" in headers) == (kind.retryable and status_of(_made(kind)) in {429, 503})
    if "retry_after" in inspect.signature(kind).parameters:
        later = dict(problem(_made(kind, 2.0), "/").headers)
        assert later.get(b"retry-after") == (b"2" if kind.retryable else None)


@pytest.mark.parametrize(("seconds", "header"), [(0.0, b"1"), (0.01, b"1"), (1.0, b"1"), (1.01, b"2"), (59.5, b"60")])
def test_the_time_to_wait_is_whole_seconds_and_never_too_short(seconds: float, header: bytes) -> None:
    assert dict(problem(RateLimited("Why.", retry_after=seconds), "/").headers)[b"retry-after"] == header


def test_an_error_without_a_sentence_says_its_title() -> None:
    for kind in TOLD:
        if not issubclass(kind, EventError | MethodNotAllowed):
            assert kind().detail == kind.title
