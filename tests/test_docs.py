"""What the documentation says about the code is true."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def test_every_test_that_a_promise_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "behaviour.md").read_text())
    assert len(named) > 20
    for path, test in named:
        assert f"def {test}" in (ROOT / path).read_text(), f"{path}::{test}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    prose = re.sub(r"`[^`\n]+`", "", page.read_text())  # a pattern in code can look like a link
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", prose):
        assert (page.parent / target).exists(), target


def test_the_design_names_every_part_of_the_source() -> None:
    design = (ROOT / "DESIGN.md").read_text()
    for part in (ROOT / "src" / "eventbus_gateway").iterdir():
        if part.name not in {"__init__.py", "__pycache__", "py.typed"}:
            assert part.name in design, part.name
