"""The commands on the pages about publishing and consuming are typed as they stand there."""

import shutil
from pathlib import Path

import pytest
from tests.documentation.typing_along import Block, Reader, blocks
from tests.end_to_end.process import ROOT

SAMPLE = Block(
    "sh",
    "",
    "curl -s \"$GATEWAY/v1/topics/appointments/events\" -H 'content-type: application/json' "
    "--data-binary @examples/appointments.json",
)
RECEIVER = Block("sh", "receiver", ".venv/bin/eventbus receive --port 9000 --secret whsec_…")

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def page(name: str) -> list[Block]:
    return blocks((ROOT / "docs" / name).read_text())


def test_what_the_page_about_publishing_shows_is_what_comes(tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        reader.start()
        assert reader.go_through(page("publish.md")) == 4


def test_what_the_page_about_consuming_shows_is_what_comes(tmp_path: Path) -> None:
    shown = page("consume.md")
    subscribing = next(index for index, block in enumerate(shown) if "-X PUT" in block.text)
    with Reader(tmp_path) as reader:
        reader.start()
        reader.go_through([SAMPLE])
        assert reader.go_through(shown[: subscribing + 1]) == 1
        # It begins with what comes from now on.
        reader.go_through([SAMPLE])
        assert reader.go_through(shown[subscribing + 1 :]) == 3


def test_what_the_page_about_webhooks_shows_is_what_comes(tmp_path: Path) -> None:
    # Elsewhere on the page JSON stands without a command: another test takes that.
    shown = page("webhooks.md")
    places = [index for index, block in enumerate(shown) if block.language == "sh"]
    assert ["PUT" in shown[index].text for index in places] == [True, False, False]
    with Reader(tmp_path, {"https://team.example/hook": "http://127.0.0.1:9000/"}) as reader:
        reader.start()
        reader.go_through([shown[places[0]], RECEIVER])
        assert reader.go_through(shown[places[1] : places[1] + 2]) == 1
        assert reader.go_through(shown[places[2] : places[2] + 2]) == 1
