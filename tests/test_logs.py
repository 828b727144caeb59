"""Lines of the process's own log, as those who collect them read them."""

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventbus_gateway.logs import JsonLines, Traced, unhandled, working_on


def line(message: object, *arguments: object, level: int = logging.WARNING, error: Any = None) -> dict[str, Any]:
    """A record as whoever collects it reads it."""
    record = logging.LogRecord("eventbus_gateway.part", level, __file__, 1, message, arguments, error)
    text = JsonLines().format(record)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text.encode())
    return found


@contextmanager
def trace(ids: tuple[str, str] | None) -> Iterator[None]:
    token = working_on.set(Traced(ids))
    try:
        yield
    finally:
        working_on.reset(token)


def test_a_line_has_the_fields_that_collectors_look_for() -> None:
    found = line("%s lines", 3)
    moment = datetime.fromisoformat(found.pop("timestamp"))
    assert moment.tzinfo == UTC
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    assert found == {"level": "warning", "message": "3 lines", "logger": {"name": "eventbus_gateway.part"}}


@pytest.mark.parametrize("text", ["\ud800", "a\udcffb", "\x00\x1f\x7f", "\u2028\n\r", "𝄞" * 1_000])
def test_any_text_can_be_logged(text: str) -> None:
    assert line("%s", text)["message"].replace("?", "") == text.encode(errors="ignore").decode()


@given(st.text(st.characters()))
def test_every_text_makes_a_line(text: str) -> None:
    assert line("%s", text)["message"] == text.encode(errors="replace").decode()


def test_a_name_and_a_place_that_are_no_unicode_make_a_line_too() -> None:
    namespace: dict[str, Any] = {}
    exec(compile("def fail():\n    raise KeyError", "/a\ud800.py", "exec"), namespace)  # noqa: S102
    try:
        namespace["fail"]()
    except KeyError:
        record = logging.LogRecord("a\ud800", logging.INFO, "", 1, "b", (), sys.exc_info())
    found = json.loads(JsonLines().format(record))
    assert (found["logger"]["name"], found["error"]["kind"]) == ("a?", "KeyError")
    assert found["error"]["stack"].splitlines()[0] == "/a?.py:2"


def test_a_message_whose_arguments_do_not_fit_is_told_with_its_place() -> None:
    found = line("%d events", "many")
    assert found["message"].startswith("a log message cannot be made")
    assert "many" not in json.dumps(found)


def test_of_an_exception_only_type_and_places_are_told() -> None:
    try:
        int("a secret")
    except ValueError:
        found = line("failed", error=sys.exc_info())
    assert found["error"]["kind"] == "ValueError"
    assert __file__ in found["error"]["stack"]
    assert "secret" not in json.dumps(found)


def test_within_a_sampled_trace_a_line_names_it_for_all_collectors() -> None:
    with trace(("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")):
        found = line("within")
    assert (found["trace_id"], found["span_id"]) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    # Datadog's own ids are the lower 64 bits, in decimal.
    assert found["dd"] == {"trace_id": str(0x8448EB211C80319C), "span_id": str(0xB7AD6B7169203331)}
    assert "trace_id" not in line("outside")


def test_a_task_that_outlives_its_trace_does_not_name_it() -> None:
    with trace(None):
        assert "trace_id" not in line("later")


def test_what_nobody_has_handled_is_told_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    def fail(text: str) -> None:
        raise ValueError(text)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(unhandled)
        loop.call_soon(fail, "s3cret")
        loop.call_exception_handler({"message": "a task was lost"})
        await asyncio.sleep(0)

    asyncio.run(scenario())
    first, second = (json.loads(JsonLines().format(record)) for record in caplog.records)
    assert first["message"] == "a task was lost"
    assert (second["error"]["kind"], "fail" in second["message"]) == ("ValueError", False)
    assert "s3cret" not in json.dumps([first, second])
