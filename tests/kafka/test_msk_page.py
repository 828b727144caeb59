"""What docs/msk.md shows can be pasted."""

import json
import re
from pathlib import Path

import pytest
import trustme

from eventbus_gateway.config import InvalidConfig, load
from eventbus_gateway.kafka import access

PAGE = (Path(__file__).parents[2] / "docs" / "msk.md").read_text()
_REST = '\n[auth]\nmode = "anonymous"\n[topic_defaults]\nformat = "json"\n'


def _blocks(kind: str) -> list[str]:
    found = re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(found) >= 4
    return found


@pytest.mark.parametrize("block", _blocks("toml"))
def test_each_example_is_a_sound_configuration_but_for_its_files(block: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    file = tmp_path / "eventbus.toml"
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    given = re.sub(r'(_file = ")[^"]*', rf"\g<1>{secret}", block)
    file.write_text(re.sub(r'(\bca_file = ")[^"]*', rf"\g<1>{authority}", given) + _REST)
    assert load(file, {}).kafka.bootstrap_servers
    file.write_text(block + _REST)
    faults = []
    try:
        load(file, {})
    except InvalidConfig as error:
        faults = [fault.key for fault in error.faults]
    assert all(key.endswith("_file") for key in faults)


def test_the_policies_name_every_action_that_a_log_line_may_ask_for() -> None:
    granted: set[str] = set()
    for policy in map(json.loads, _blocks("json")):
        for statement in policy["Statement"]:
            actions = statement["Action"]
            granted.update([actions] if isinstance(actions, str) else actions)
    sentences = [
        *access.cluster_findings(None, writes=False, iam=True),
        *access.cluster_findings(frozenset(), writes=False, iam=True),
        *(
            found
            for each in access.TOPIC_NEEDS
            for found in access.topic_findings("t", access.TOPIC_NEEDS - {each}, iam=True)
        ),
        access.configs_finding(["t"], iam=True),
    ]
    asked = {action for finding in sentences for action in re.findall(r"kafka-cluster:\w+", finding.sentence)}
    assert len(asked) == 6
    assert asked <= granted
    assert {"kafka-cluster:Connect", "kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"} <= granted
