"""The README's first steps are typed as they stand there, and what it configures is sound."""

import re
import shutil
from pathlib import Path

import pytest
from tests.documentation.typing_along import Reader, blocks
from tests.end_to_end.process import ROOT

from eventbus_gateway.config import load

README = (ROOT / "README.md").read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_first_steps_do_what_the_readme_says(tmp_path: Path) -> None:
    first = README.split("\n## Try it\n")[1].split("\n## ")[0]
    with Reader(tmp_path) as reader:
        assert reader.go_through(blocks(first)) == 1


def test_the_configuration_is_sound_once_a_hash_is_filled_in(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^```toml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert shown.count('"…"') == 1
    file = tmp_path / "gateway.toml"
    file.write_text(shown.replace('"…"', f'"{"ab" * 32}"'))
    assert load(file, {}).topics["appointments"].key == "/appointmentId"


def test_the_readme_fits_on_two_screens() -> None:
    assert len(README.splitlines()) <= 100
