"""The shape of the code: imports go one way, and what only one part may know stays there."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "eventbus_gateway"

# A part may import itself and whatever stands further down; parts of one row never import each other.
ROWS: tuple[frozenset[str], ...] = (
    frozenset({"cli"}),
    frozenset({"cli_keys", "cli_tables"}),
    frozenset({"cli_config", "cli_operations", "app"}),
    frozenset({"gauges", "traces"}),
    frozenset({"config"}),
    frozenset({"api", "identity"}),
    frozenset({"auth", "schemas", "webhooks"}),
    frozenset({"subscriptions"}),
    frozenset({"kafka"}),
    frozenset({"tracing"}),
    frozenset({"aws", "base64_text", "bounded_http", "pieces", "runs", "schema_ids", "tls", "varints"}),
    frozenset({"errors", "telemetry", "logs", "section", "workers", "__init__"}),
)
RANK = {part: rank for rank, row in enumerate(ROWS) for part in row}
# auth and schemas stand beside the Kafka side, not above it.
STRANGERS = {"auth": {"kafka", "subscriptions"}, "schemas": {"kafka", "subscriptions"}}
# The sections that parts declare are put together by config; nobody else reads it.
READS_CONFIG = {"app", "cli", "cli_config", "cli_keys", "cli_tables", "config"}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def part_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            module = node.module or ""
            yield module
            if module == "eventbus_gateway":
                yield from (f"{module}.{alias.name}" for alias in node.names)


def own_parts(path: Path) -> set[str]:
    names = (name.split(".") for name in imported(path))
    return {parts[1] for parts in names if parts[0] == "eventbus_gateway" and len(parts) > 1 and parts[1] in RANK}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_only_from_its_own_part_and_from_parts_below(path: Path) -> None:
    part = part_of(path)
    for other in own_parts(path) - {part}:
        assert RANK[other] > RANK[part], f"{part} imports {other}"
        assert other not in STRANGERS.get(part, set()), f"{part} imports {other}"
        assert other != "config" or part in READS_CONFIG, f"{part} reads the configuration"


@pytest.mark.parametrize(
    ("library", "parts"),
    [
        ("confluent_kafka", {"kafka"}),
        ("botocore", {"aws", "kafka", "schemas"}),
        ("fastavro", set()),
        ("httpx2", {"bounded_http", "schemas", "auth", "tracing"}),
        ("opentelemetry", {"tracing"}),
        ("google", {"tracing"}),
        ("uvicorn", {"api"}),
        ("httptools", {"api", "webhooks"}),
        ("prometheus_client", {"telemetry"}),
        ("click", {"cli", "cli_config", "cli_keys", "cli_operations", "cli_tables"}),
        ("cryptography", {"webhooks"}),
        ("joserfc", {"auth"}),
    ],
)
def test_a_library_is_imported_only_by_the_part_that_owns_its_border(library: str, parts: set[str]) -> None:
    users = {part_of(path) for path in modules() if any(name.split(".")[0] == library for name in imported(path))}
    assert users <= parts


def test_only_the_api_knows_http_statuses() -> None:
    for path in modules():
        # Those who ask the registry, a collector, or an issuer for its keys, read the statuses of the answers.
        if part_of(path) in {"api", "schemas", "tracing"} or path.relative_to(SOURCE).parts[:2] == ("auth", "oidc"):
            continue
        names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert "status_code" not in names
        assert not any(name.split(".")[0] == "http" for name in imported(path)), path


def test_modules_classes_and_functions_stay_small() -> None:
    for path in modules():
        text = path.read_text()
        assert len(text.splitlines()) <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                limit = 250 if isinstance(node, ast.ClassDef) else 60
                assert node.end_lineno - node.lineno < limit, f"{path}: {node.name}"


def test_what_few_processes_need_is_not_loaded_by_all_of_them() -> None:
    # Together they take as much memory as the gateway's own code.
    heavy = {"aiohttp", "botocore", "cryptography", "google.protobuf", "joserfc", "opentelemetry"}
    program = f"import sys, eventbus_gateway.cli, eventbus_gateway.app; print({heavy!r} & sys.modules.keys())"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert loaded.stdout == "set()\n"
