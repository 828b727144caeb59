"""A release can be cut from the changelog."""

import pytest
from release.changelog import UNRELEASED, Section, faults, number_of, sections
from release.distributions import ROOT

from eventbus_gateway import __version__

CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
SOUND = """# Changelog

## Unreleased

### Added

- B.

## 0.10.0 - 2026-02-28

### Fixed

- A.

## 0.9.1 - 2026-01-31

### Security

- Z.
"""


def test_the_changelog_has_the_form_of_one_and_tells_about_this_version() -> None:
    assert faults(CHANGELOG) == []
    assert {section.version for section in sections(CHANGELOG)} & {UNRELEASED, __version__}


def test_the_version_is_one() -> None:
    assert number_of(__version__) is not None


def test_sections_are_found_with_their_lines() -> None:
    assert faults(SOUND) == []
    assert sections(SOUND)[1] == Section("0.10.0", "2026-02-28", "### Fixed\n\n- A.")


@pytest.mark.parametrize(
    ("sound", "spoilt"),
    [
        ("## 0.10.0 - 2026-02-28", "## 0.10.0"),
        ("## 0.10.0 - 2026-02-28", "## 0.10.0 - 2026-02-30"),
        ("## 0.10.0 - 2026-02-28", "## 0.10.0 - 28.2.2026"),
        ("## 0.10.0 - 2026-02-28", "## 0.9.0 - 2026-02-28"),
        ("## 0.10.0 - 2026-02-28", "## 0.9.1 - 2026-02-28"),
        ("## 0.10.0 - 2026-02-28", "## 0.10 - 2026-02-28"),
        ("## 0.10.0 - 2026-02-28", "## Unreleased"),
        ("## Unreleased\n", "## Unreleased - 2026-03-01\n"),
        ("### Fixed", "### Mended"),
        ("### Fixed\n\n", ""),
        ("### Security\n\n- Z.\n", ""),
    ],
)
def test_what_no_release_could_be_cut_from_is_found(sound: str, spoilt: str) -> None:
    assert sound in SOUND
    assert faults(SOUND.replace(sound, spoilt))
