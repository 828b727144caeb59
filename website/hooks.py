"""What the pages have beside the files in ``docs``, which are written to be read in the repository too."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
ADOPTED = {"design.md": "DESIGN.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
"""Pages that are files of the repository elsewhere."""

_CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[([^\]]+)\]\((?![a-z]+:)([^)#\s]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"^(```\w+) (.+)$", re.MULTILINE)
_SHOWN = re.compile(r"matches|differs|refused\b")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add pages that the navigation does not name to its end, so that nobody overlooks them."""
    there = {path.relative_to(config.docs_dir).as_posix() for path in Path(config.docs_dir).rglob("*.md")}
    if more := sorted(there - set(_named(config.nav))):
        config.nav = [*(config.nav or []), {"More": more}]
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are no files in ``docs``."""
    for page, name in {**ADOPTED, "pages.css": "website/pages.css"}.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Lead links to where the pages are; those to files that are no pages become their text."""
    folder = PurePosixPath("." if page.file.src_uri in ADOPTED else "docs")
    return relinked(markdown, folder)


def relinked(markdown: str, folder: PurePosixPath) -> str:
    """A page's text, with links that work among the pages.

    Args:
        markdown: as it is in the repository.
        folder: where it is there.
    """
    code: list[str] = []

    def aside(match: re.Match[str]) -> str:
        code.append(match[0])
        return f"\x00{len(code) - 1}\x00"

    def link(match: re.Match[str]) -> str:
        target = _target(folder / match[2])
        return match[1] if target is None else f"[{match[1]}]({target}{match[3] or ''})"

    linked = _LINK.sub(link, _CODE.sub(aside, markdown))
    whole = re.sub(r"\x00(\d+)\x00", lambda match: code[int(match[1])], linked)
    # What stands behind a block's language is for tests that read the page, and sometimes for people too.
    return _FENCE.sub(lambda match: f"*{match[2]}:*\n\n{match[1]}" if _SHOWN.match(match[2]) else match[1], whole)


def _named(nav: Any) -> Iterator[str]:
    """The files that a part of the navigation names."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        yield from _named(list(nav.values()))
    else:
        for part in nav or ():
            yield from _named(part)


def _target(path: PurePosixPath) -> str | None:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    if parts[0] == "docs":
        return "/".join(parts[1:])
    return next((page for page, name in ADOPTED.items() if [name] == parts), None)


def on_post_template(output: str, *, template_name: str, **_: Any) -> str:
    """Leave out the page for addresses that do not exist: its links only work where the host is known."""
    return "" if template_name == "404.html" else output
