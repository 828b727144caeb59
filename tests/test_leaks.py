"""The search for leaks finds them: in logs, output, answers and metrics, and without repeating what leaked."""

import base64
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from tests.end_to_end.process import Child
from tests.leaks import Leak, found, heard, marked
from tests.serving import served

ROOT = Path(__file__).parent.parent
NAME = "what only this module marks"
VALUE = marked("kept-between-us-8402", NAME)


@pytest.mark.parametrize(
    "said",
    [
        VALUE,
        f'{{"detail": "expected a number, got {VALUE}"}}',
        *(base64.b64encode(f"{before}{VALUE}:x".encode()).decode() for before in ("", "a", "ab", "user:")),
    ],
)
def test_a_marked_value_is_found_as_it_is_and_in_base64(said: str) -> None:
    heard("some place", said)
    assert found() == [Leak(NAME, "some place")]


def test_nothing_is_found_where_nothing_is_and_nothing_twice() -> None:
    heard("some place", "kept between us: 8402")
    assert found() == []
    heard("some place", VALUE)
    assert found() == [Leak(NAME, "some place")]
    assert found() == []


def test_whatever_carries_the_mark_of_secrets_is_found() -> None:
    heard("some place", "the password is s3" + "cret-1")
    assert [leak.place for leak in found()] == ["some place"]


@pytest.mark.parametrize("level", [logging.DEBUG, logging.ERROR])
def test_the_log_of_every_module_is_searched_at_every_level(level: int) -> None:
    logging.getLogger("eventbus_gateway.kafka.producer").log(level, "sending %s", VALUE)
    assert found() == [Leak(NAME, "the log of eventbus_gateway.kafka.producer")]


def test_the_text_of_an_exception_is_searched_only_where_production_would_show_it() -> None:
    log = logging.getLogger("eventbus_gateway.api.gateway")
    try:
        int(VALUE)
    except ValueError as error:
        log.exception("a handler failed")
        assert found() == []
        log.exception("a handler failed: %s", error)  # noqa: TRY401 - the leak that is looked for
    assert found() == [Leak(NAME, "the log of eventbus_gateway.api.gateway")]


def test_what_a_process_writes_to_its_standard_error_is_searched() -> None:
    with Child([sys.executable, "-c", f"import sys; sys.stderr.write({VALUE!r})"]) as child:
        assert child.ended() == 0
    assert found() == [Leak(NAME, "standard error of a process")]


def test_error_answers_metrics_and_the_access_log_of_a_gateway_are_searched() -> None:
    with served() as gateway:
        gateway.client.get("/v1/topics")
        assert found() == []
        # The name of a topic identifies the request and may be said; here it stands for what may not.
        gateway.client.get(f"/v1/topics/{VALUE}")
        assert found() == [Leak(NAME, "the access log"), Leak(NAME, "the answer 404")]
        gateway.access.write(VALUE.encode())
        assert found() == [Leak(NAME, "the access log")]
        gateway.metrics.gauge("eventbus_test", VALUE, lambda: 1.0)
    assert found() == [Leak(NAME, "the metrics")]


LEAKY = """
import pytest
from tests.leaks import heard, marked

VALUE = marked("kept-between-us-8403", "the secret of a nested test")

@pytest.fixture(scope="module")
def late():
    yield
    heard("the end of a fixture", VALUE)

def test_quiet():
    heard("some place", "nothing of interest")

def test_loud():
    heard("some place", VALUE)

def test_last(late):
    pass
"""


@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["one process", "xdist"])
def test_a_test_that_leaks_fails_also_when_a_fixture_leaks_at_its_end(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "test_leaky.py").write_text(LEAKY)
    arguments = ["-q", "-p", "tests.leaks", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-o", "addopts="]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, *options, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    assert "3 passed, 2 errors" in run.stdout
    for test, place in (("test_loud", "some place"), ("test_last", "the end of a fixture")):
        assert f"{test} leaks:\n  the secret of a nested test, in {place}" in run.stdout.replace("E   ", "")
    assert "kept-between-us-8403" not in run.stdout + run.stderr
