"""Requests that Schemathesis makes of the contract: whatever comes, the answer is one of the contract."""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from openapi.build import SERVED
from tests.contract.running import KEY, PULLED, PUSHED, TOPIC, Running, running
from tests.end_to_end.process import toml

SEED = 20_260_101
EXAMPLES = int(os.environ.get("EVENTBUS_CONTRACT_EXAMPLES", "3"))
"""Generated requests for each operation, beside those that cover the bounds of each parameter."""
HOOKS = Path(__file__).with_name("hooks.py")
ROOT = Path(__file__).parent.parent.parent
WAYS_TO_ANSWER = ["2xx", "304", "401", "403", "404", "409", "429"]
REFUSALS = ["400", "401", "403", "404", "405", "406", "410", "412", "413", "415", "422", "5xx"]
OF_WEBHOOKS = ["testWebhook", "rotateSecret", "listAttempts"]
CHANGES = ["putSubscription", "deleteSubscription", "deleteOverseenSubscription"]


def accepted(operations: list[str], *statuses: str, **further: Any) -> dict[str, Any]:
    """Operations whose requests can be refused although their form is right."""
    checks = {"positive_data_acceptance": {"expected-statuses": [*WAYS_TO_ANSWER, *statuses]}}
    return {"include-operation-id": operations, "checks": checks, **further}


def configuration(schema_id: int) -> Mapping[str, Any]:
    """All checks are on; what is told here is where state, and not form, decides about an answer."""
    return {
        "parameters": {"topic": TOPIC, "owner": "clinic", "subject": f"{TOPIC}-value", "id": schema_id, "wait": 0},
        # Beside what a request may be refused with at all, by what is looked at first.
        "checks": {"negative_data_rejection": {"expected-statuses": [*REFUSALS]}},
        "operations": [
            accepted(OF_WEBHOOKS, "412", parameters={"name": PUSHED}),
            {"include-operation-id": ["receive"], "parameters": {"name": PULLED}},
            # Versions that nobody has seen, filters and topics that are none: their grammar is not in the contract.
            accepted(["putSubscription"], "412", "422", parameters={"name": "comes-and-goes"}),
            accepted(CHANGES[1:], "412", parameters={"name": "comes-and-goes"}),
            accepted(["seekSubscription", "redriveSubscription"], "412", "422"),
            accepted(["pauseSubscription", "resumeSubscription"], "412"),
            accepted(["pauseOverseenSubscription", "resumeOverseenSubscription"], "412"),
            # Only the gateway makes tokens and cursors.
            accepted(["ack", "release", "extend", "reject"], "400", "410"),
            accepted(["listSubscriptions", "listDeadLetters", "overseeSubscriptions"], "400"),
            accepted(["read"], "400", "422"),
            # What an event must be is in the registry, and in no contract; so is what a schema must be.
            accepted(["publish"], "400", "413", "415", "422"),
            accepted(["findSchema", "describeVersion", "describeVersionSchema"], "422"),
            # The registry is there to be read.
            accepted(["deleteSubject", "registerSchema", "deleteVersion"], "405"),
        ],
    }


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


def test_whatever_is_asked_the_answer_is_one_of_the_contract(gateway: Running, tmp_path: Path) -> None:
    schema_id = gateway.client.get(f"/subjects/{TOPIC}-value/versions/latest").json()["id"]
    config = tmp_path / "schemathesis.toml"
    config.write_text(toml(configuration(schema_id)))
    command = f"""
        {sys.executable} -m schemathesis.cli --config-file {config} --no-color run {SERVED} --url {gateway.url}
        --checks all --phases examples,coverage,fuzzing --max-examples {EXAMPLES} --seed {SEED}
        --generation-database none --continue-on-failure --request-timeout 30
        --warnings off --suppress-health-check all
    """
    done = subprocess.run(
        [*shlex.split(command), "--header", f"X-API-Key: {KEY}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60 + 20 * EXAMPLES,
        check=False,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS), "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    assert "Selected: 41/41" in done.stdout, done.stdout[-2_000:]
    assert gateway.client.get("/v1/topics").status_code == 200
