"""The documentation becomes pages that lead nowhere wrong and load nothing from elsewhere."""

import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pytest
from tests.end_to_end.process import ROOT
from website.hooks import relinked

_LOADING = {"src", "srcset", "poster", "data", "action", "formaction", "background", "manifest"}


class Links(HTMLParser):
    """What a page refers to.

    Args:
        html: the page.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.led_to: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name == "href" and tag == "a":
                self.led_to.append(value or "")
            elif name in _LOADING or name == "href":
                self.loaded.append(value or "")
            elif name == "style":
                self.loaded += loaded_by_style(value or "")


def loaded_by_style(css: str) -> list[str]:
    """Addresses in a style sheet."""
    found = re.findall(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""", css)
    return [first or second for first, second in found]


def built(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """The outcome of building the pages of a project."""
    command = [sys.executable, "-W", "error", "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages") / "site"
    done = built(ROOT, folder)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Links]:
    found = {str(path.relative_to(site)): Links(path.read_text()) for path in site.rglob("*.html")}
    assert len(found) >= 20
    return found


def test_every_page_is_built_and_can_be_found(site: Path, pages: dict[str, Links]) -> None:
    there = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert there <= {name.removesuffix(".html") for name in pages}
    home = {link.removesuffix(".html") for link in pages["index.html"].led_to}
    assert there - {"index"} <= home, "each is in the navigation"
    assert {"design.html", "changelog.html", "contributing.html"} <= pages.keys()


def test_every_link_and_anchor_among_the_pages_leads_somewhere(site: Path, pages: dict[str, Links]) -> None:
    astray, checked = defaultdict(list), 0
    for name, page in pages.items():
        for link in page.led_to:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            checked += 1
            path = unquote(parts.path).removeprefix("/") or name
            target = str(PurePosixPath(name).parent / path) if parts.path else name
            if not (site / target).is_file() or (parts.fragment and parts.fragment not in pages[target].anchors):
                astray[name].append(link)
    assert checked > 500
    assert not astray


def test_links_that_leave_the_pages_are_secure(pages: dict[str, Links]) -> None:
    leaving = {link for page in pages.values() for link in page.led_to if urlsplit(link).scheme}
    assert {urlsplit(link).scheme for link in leaving} <= {"https"}


def test_nothing_is_loaded_from_another_host(site: Path, pages: dict[str, Links]) -> None:
    loaded = [(name, link) for name, page in pages.items() for link in page.loaded]
    loaded += [(path.name, link) for path in site.rglob("*.css") for link in loaded_by_style(path.read_text())]
    assert len(loaded) > 100
    elsewhere = [
        (name, link) for name, link in loaded if urlsplit(link).netloc or urlsplit(link).scheme not in {"", "data"}
    ]
    assert not elsewhere
    for script in [*site.rglob("*.js"), *site.rglob("*.html")]:
        code = "".join(re.findall(r"<script[^>]*>(.*?)</script>", script.read_text(), re.DOTALL))
        text = script.read_text() if script.suffix == ".js" else code
        called = re.findall(r"""(?:fetch|importScripts|import|open)\(\s*["'](?:https?:)?//[^"']+""", text)
        assert not called, script.name


def _without_target(docs: Path) -> None:
    with (docs / "publish.md").open("a") as page:
        page.write("\n[nowhere](nowhere.md)\n")


def _without_anchor(docs: Path) -> None:
    with (docs / "publish.md").open("a") as page:
        page.write("\n[nowhere](errors.md#nowhere)\n")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's pages in another place."""
    for name in ("docs", "website"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("mkdocs.yml", "DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("spoil", [_without_target, _without_anchor])
def test_a_link_or_an_anchor_that_is_not_there_fails_the_build(spoil: Callable[[Path], None], copy: Path) -> None:
    spoil(copy / "docs")
    done = built(copy, copy / "site")
    assert done.returncode != 0
    (warning,) = [line for line in done.stderr.splitlines() if line.startswith("WARNING")]
    assert "nowhere" in warning


def test_a_page_that_nobody_gave_a_place_is_found_all_the_same(copy: Path) -> None:
    (copy / "docs" / "lonely.md").write_text("# A page of its own\n")
    done = built(copy, copy / "site")
    assert done.returncode == 0, done.stderr
    assert "lonely.html" in Links((copy / "site" / "index.html").read_text()).led_to


def test_links_of_the_repository_become_links_among_the_pages() -> None:
    text = "[a](b.md#c) [d](../DESIGN.md#e) [f](../Makefile) `[g](../h)` [i](https://j.example/k)"
    became = "[a](b.md#c) [d](design.md#e) f `[g](../h)` [i](https://j.example/k)"
    assert relinked(text, PurePosixPath("docs")) == became
    assert relinked("[a](docs/b.md)", PurePosixPath()) == "[a](b.md)"
    assert relinked("```json package\n{}\n```\n", PurePosixPath("docs")) == "```json\n{}\n```\n"
    assert relinked("```json differs\n{}\n```\n", PurePosixPath("docs")) == "*differs:*\n\n```json\n{}\n```\n"
