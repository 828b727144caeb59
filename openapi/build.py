"""``python -m openapi.build`` writes the contract as the gateway serves it."""

import json
from pathlib import Path
from typing import Any

import yaml

SOURCE = Path(__file__).parent / "openapi.yaml"
SERVED = Path(__file__).parent.parent / "src" / "eventbus_gateway" / "api" / "openapi.json"


def document(path: Path = SOURCE) -> dict[str, Any]:
    """The contract, as its authors write it."""
    loaded: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return loaded


def served(loaded: dict[str, Any]) -> str:
    """The contract as text, as the gateway serves it: the running gateway has no need of YAML."""
    return json.dumps(loaded, ensure_ascii=False, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    SERVED.write_text(served(document()), "utf-8")
