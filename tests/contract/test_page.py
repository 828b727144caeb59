"""The contract is served: as a document, and as a page that needs nothing from anywhere else."""

import re
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from openapi.build import SERVED, document
from openapi.build import served as as_served
from tests.serving import Served, served

from eventbus_gateway.api.contract_page import METHODS
from eventbus_gateway.api.settings import HttpSettings

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def gateway() -> Iterator[Served]:
    with served() as gateway:
        yield gateway


class Found(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_what_is_served_was_made_of_the_contract_as_it_is() -> None:
    assert SERVED.read_text("utf-8") == as_served(document()), "run: make openapi"


def test_the_contract_is_served_as_json(gateway: Served) -> None:
    answer = gateway.client.get("/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == document()


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_who_has_it_already_is_told_so_without_a_body(gateway: Served, path: str) -> None:
    first = gateway.client.get(path)
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', f'W/"with,comma" ,{tag}', "*"):
        answer = gateway.client.get(path, headers={"if-none-match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        assert "content-length" not in answer.headers
        assert answer.headers["x-request-id"]
    assert gateway.client.get(path, headers={"if-none-match": '"other"'}).content == first.content
    for malformed in ("other", '"a""b"', '"a" "b"', '"a', '"a",*', ""):
        answer = gateway.client.get(path, headers={"if-none-match": malformed})
        assert answer.json()["code"] == "invalid_header", malformed
    assert gateway.client.head(path).headers["etag"] == tag


def test_a_cache_asks_again_and_there_is_one_policy(gateway: Served) -> None:
    answer = gateway.client.get("/docs")
    for name in ("cache-control", "content-security-policy", "referrer-policy"):
        assert len(answer.headers.get_list(name)) == 1, name
    assert answer.headers["cache-control"] == "no-cache"


def test_the_policy_lets_nothing_in_but_the_style_of_the_page(gateway: Served) -> None:
    answer = gateway.client.get("/docs")
    (style,) = re.findall("<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = [part.strip() for part in answer.headers["content-security-policy"].split(";")]
    assert policy == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    assert "url(" not in style
    assert "@import" not in style


def test_the_page_has_no_script_and_fetches_nothing(gateway: Served) -> None:
    found = Found(gateway.client.get("/docs").text)
    assert not found.tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "svg", "video"}
    names = {name for name, _ in found.attributes}
    assert not names & {"src", "srcset", "style", "action"}
    assert not {name for name in names if name.startswith("on")}
    links = [value for name, value in found.attributes if name == "href"]
    assert all(link.startswith("#") or link == "/openapi.json" for link in links)


def test_every_link_of_the_page_leads_somewhere_on_it(gateway: Served) -> None:
    found = Found(gateway.client.get("/docs").text)
    ids = [value for name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = {value[1:] for name, value in found.attributes if name == "href" and value.startswith("#")}
    assert targets <= set(ids)
    assert len(targets) > 100


def test_the_page_shows_every_operation(gateway: Served) -> None:
    ids = {value for name, value in Found(gateway.client.get("/docs").text).attributes if name == "id"}
    operations = [one for item in document()["paths"].values() for name, one in item.items() if name in METHODS]
    assert len(operations) > 40
    assert {one["operationId"] for one in operations} <= ids


def test_both_can_be_switched_off() -> None:
    with served(http=HttpSettings(contract=False)) as gateway:
        for path in ("/openapi.json", "/docs"):
            assert gateway.client.get(path).json()["code"] == "route_not_found"


def shown(url: str, folder: Path) -> tuple[str, str]:
    """What a browser makes of a page, and what it says about that."""
    assert CHROMIUM is not None
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
    # Nothing but this machine can be reached, so that what the page wants from elsewhere fails and is told.
    alone = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    command = [CHROMIUM, *flags, *quiet, alone, f"--user-data-dir={folder}", "--enable-logging=stderr", "--v=0"]
    done = subprocess.run([*command, "--dump-dom", url], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_shows_the_page_and_has_nothing_to_complain_about(gateway: Served, tmp_path: Path) -> None:
    seen = len(gateway.access.lines)
    dom, console = shown(f"{gateway.url}/docs", tmp_path / "profile")
    assert console == ""
    assert dom.count('class="operation"') == sum(len({*item} & {*METHODS}) for item in document()["paths"].values())
    asked = [line for line in gateway.access.lines[seen:] if b'"/docs"' not in line]
    assert asked == []


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_would_complain_about_another_style_than_the_allowed_one(gateway: Served, tmp_path: Path) -> None:
    """What the test above looks at can fail."""
    answer = gateway.client.get("/docs")
    page = tmp_path / "page.html"
    policy = answer.headers["content-security-policy"].rpartition("; frame-ancestors")[0]
    meta = f'<meta http-equiv="content-security-policy" content="{policy}">'
    page.write_text(answer.text.replace("<style>", f"{meta}<style>/* changed */"))
    _, console = shown(page.as_uri(), tmp_path / "profile")
    assert "Content Security Policy" in console
