"""What the page of metrics says; a test holds it to what a gateway shows."""

import re
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"
_ROW = re.compile(r"^\| `(eventbus_\w+)` \| (\w+) \|([^|]*)\| ([^|]+) \|$", re.MULTILINE)


class Row(NamedTuple):
    """One metric of the page."""

    kind: str
    labels: tuple[str, ...]

    def samples(self, name: str) -> set[str]:
        """Names of its samples."""
        return {f"{name}_{part}" for part in ("bucket", "sum", "count")} if self.kind == "histogram" else {name}


def rows() -> dict[str, Row]:
    """All metrics by name."""
    found = _ROW.findall(PAGE.read_text())
    named = {name: Row(kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels, _ in found}
    assert len(named) == len(found), "a metric is there twice"
    return named
