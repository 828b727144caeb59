"""The configurations that docs/oidc.md shows can be loaded."""

import pathlib
import re

import pytest

from eventbus_gateway.auth.oidc.refusals import Refusal
from eventbus_gateway.config import load

PAGE = (pathlib.Path(__file__).parents[2] / "docs" / "oidc.md").read_text()
CONFIGURATIONS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
REST = """
[kafka]
bootstrap_servers = "broker:9092"

[topic_defaults]
format = "json"

[subscriptions]
enabled = false
"""


@pytest.mark.parametrize("text", CONFIGURATIONS)
def test_every_configuration_on_the_page_is_sound(text: str, tmp_path: pathlib.Path) -> None:
    assert len(CONFIGURATIONS) == 4
    file = tmp_path / "eventbus.toml"
    file.write_text(text + REST)
    assert load(file, {}).auth.oidc[0].prefix in {"corp", "entra", "kc", "cognito"}


def test_the_sentences_on_the_page_are_those_that_callers_get() -> None:
    said = {refusal.value for refusal in Refusal}
    rows = re.findall(r"^\| (The token[^|]*?) \|", PAGE, re.MULTILINE)
    whole = [row for row in rows if " / " not in row]
    assert len(whole) == 5
    assert set(whole) <= said
