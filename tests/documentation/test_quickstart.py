"""The quick start is typed as it stands there."""

import re
import shutil
from pathlib import Path

import pytest
from tests.documentation.typing_along import Block, Reader, blocks, differences
from tests.end_to_end.process import ROOT

PAGE = (ROOT / "docs" / "quickstart.md").read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_everything_on_the_page_does_what_it_says(tmp_path: Path) -> None:
    page = blocks(PAGE)
    assert len(page) == PAGE.count("\n```") / 2, "a block that nobody understands"
    with Reader(tmp_path) as reader:
        assert reader.go_through(page) > 10


@pytest.mark.parametrize(
    ("shown", "got"),
    [
        (Block("json", "", '{"a": 1}'), '{"a": 1, "b": 2}'),
        (Block("json", "", '{"a": 1, "b": 2}'), '{"a": 1}'),
        (Block("json", "", '{"a": 1}'), '{"a": 2}'),
        (Block("json", "", '{"a": 1}'), '{"a": true}'),
        (Block("json", "", '{"a": ["x", "…"]}'), '{"a": ["y", "z"]}'),
        (Block("json", "", '{"a": ["x"]}'), '{"a": ["x", "z"]}'),
        (Block("json", "", '{"a": "x…", "…": "…"}'), '{"a": "yx", "b": 1}'),
        (Block("http", "", "HTTP/1.1 201 Created\n\n{}"), "HTTP/1.1 200 OK\r\n\r\n{}"),
        (Block("http", "", "HTTP/1.1 200 OK\netag: …\n\n{}"), "HTTP/1.1 200 OK\r\n\r\n{}"),
        (Block("text", "", "a … c\n"), "a b d\n"),
        (Block("text", "", "a\n"), "a\nb\n"),
    ],
)
def test_an_answer_that_is_not_what_is_shown_is_found(shown: Block, got: str) -> None:
    assert list(differences(shown, got))


def test_make_dev_is_the_command_that_these_tests_start() -> None:
    recipe = re.search(r"^dev:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    assert recipe[1].strip().removeprefix("@") == "$(BIN)/eventbus dev"
    assert re.search(r'^eventbus = "eventbus_gateway.cli:main"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
