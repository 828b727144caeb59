"""A version is released when all that belongs to it is written down."""

import pytest
from release.readiness import missing

CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 1.2.3 - 2026-01-31\n\n### Added\n\n- A.\n"
CONTRACT = b"info: {version: 1.2.3}\n"


def test_a_version_of_which_everything_is_written_down_is_ready() -> None:
    assert missing("1.2.3", CHANGELOG, CONTRACT, CONTRACT, "") == []


@pytest.mark.parametrize(
    ("version", "text", "contract", "released", "changes", "word"),
    [
        ("1.2.3", CHANGELOG.replace("1.2.3", "1.2.2"), CONTRACT, CONTRACT, "", "no section"),
        (
            "1.2.3",
            CHANGELOG.replace("Unreleased", "Unreleased\n\n### Added\n\n- B."),
            CONTRACT,
            CONTRACT,
            "",
            "under",
        ),
        ("1.2.3", CHANGELOG.replace("### Added", "### New"), CONTRACT, CONTRACT, "", "none of"),
        ("1.2.3", CHANGELOG, b"info: {version: 1.2.2}", b"info: {version: 1.2.2}", "", "openapi.yaml is not"),
        ("1.2.3", CHANGELOG, CONTRACT, b"", "", "copy"),
        ("1.2.3", CHANGELOG, CONTRACT, CONTRACT, " M README.md", "committed"),
        ("1.2.3.dev1", CHANGELOG, CONTRACT, CONTRACT, "", "no version"),
    ],
)
def test_what_is_missing_is_told(
    version: str, text: str, contract: bytes, released: bytes, changes: str, word: str
) -> None:
    assert any(word in sentence for sentence in missing(version, text, contract, released, changes))
