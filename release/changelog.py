"""The form of CHANGELOG.md, from which releases are cut: https://keepachangelog.com/en/1.1.0/."""

import re
from datetime import date
from typing import NamedTuple

UNRELEASED = "Unreleased"
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")


class Section(NamedTuple):
    """What changed in one version.

    Args:
        version: its number, or ``Unreleased``.
        day: when it was released, as it is written; empty for what is not.
        text: its lines, without the heading.
    """

    version: str
    day: str
    text: str


def sections(changelog: str) -> list[Section]:
    """All sections, the newest first."""
    _, *parts = re.split(r"^## ", changelog, flags=re.MULTILINE)
    found = []
    for part in parts:
        heading, _, text = part.partition("\n")
        version, _, day = heading.partition(" - ")
        found.append(Section(version.strip(), day.strip(), text.strip()))
    return found


def faults(changelog: str) -> list[str]:
    """What keeps a changelog from being one that a release can be cut from."""
    found: list[str] = []
    newest: tuple[float, ...] = (float("inf"),)
    for index, section in enumerate(sections(changelog)):
        name = section.version
        if name == UNRELEASED:
            if index or section.day:
                found.append(f"{UNRELEASED} stands first and has no day")
        elif (number := number_of(name)) is None or not number < newest:
            found.append(f"{name} is no version, or stands above a newer one")
        else:
            newest = number
            if not _is_day(section.day):
                found.append(f"{name} has no day such as 2026-01-31")
        kinds = re.findall(r"^### (.*)$", section.text, re.MULTILINE)
        found += [
            f"{name} has a part {kind}, which is none of {', '.join(KINDS)}" for kind in kinds if kind not in KINDS
        ]
        if section.text and not section.text.startswith("### "):
            found.append(f"{name} has lines that belong to no part")
        if name != UNRELEASED and not section.text:
            found.append(f"{name} says nothing")
    return found


def number_of(version: str) -> tuple[int, ...] | None:
    """A version of Semantic Versioning as numbers that can be compared; None for pre-releases and what is none."""
    found = re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", version)
    return None if found is None else tuple(map(int, found.groups()))


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
