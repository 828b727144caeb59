"""What people are shown of a configuration, and the reference of its keys."""

import pathlib
import subprocess
import sys
import tomllib

from tests.config.values import LEFT_OUT, SECRETS, as_environment, as_toml, every_key

from eventbus_gateway.config import describe, load
from eventbus_gateway.config.keys import KEYS

REFERENCE = pathlib.Path(__file__).parents[2] / "docs" / "configuration.md"


def test_no_secret_is_shown(tmp_path: pathlib.Path) -> None:
    text = describe(load(None, as_environment(every_key())))
    assert not [secret for secret in SECRETS.values() if secret in text]
    assert text.count('= "********"') == sum(key.secret and ".".join(key.path) not in LEFT_OUT for key in KEYS)


def test_what_is_shown_is_the_same_configuration_but_for_its_secrets(tmp_path: pathlib.Path) -> None:
    values = every_key() | {("topics", '"a.b"', "source"): 'quotes " and \\ and \x7f'[:-1]}
    file = tmp_path / "eventbus.toml"
    file.write_text(as_toml(values))
    config = load(file, {})
    shown = tmp_path / "shown.toml"
    text = describe(config)
    for name, secret in SECRETS.items():
        text = text.replace(f'\n{name} = "********"', f'\n{name} = "{secret}"')
    shown.write_text(text)
    again = load(shown, {})
    assert dict(again) == dict(config)


def test_each_value_is_shown_with_the_place_it_came_from(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "eventbus.toml"
    file.write_text(as_toml(every_key()).replace("max_headers", "# max_headers"))
    lines = describe(load(file, {"EVENTBUS_HTTP__PORT": "1"})).splitlines()
    assert "port = 1  # EVENTBUS_HTTP__PORT" in lines
    assert "max_headers = 64  # default" in lines
    assert f'client_id = "another-client_id"  # {file}' in lines
    assert "# bearer_token is not set  # default" in lines


def test_a_topic_shows_what_it_takes_from_the_defaults(tmp_path: pathlib.Path) -> None:
    environ = {**as_environment(every_key()), "EVENTBUS_TOPICS__LABS__FORMAT": "avro"}
    labs = describe(load(None, environ)).partition("[topics.labs]")[2]
    assert 'format = "avro"  # EVENTBUS_TOPICS__LABS__FORMAT' in labs
    assert 'source = "another-source"  # as in topic_defaults' in labs


def test_every_key_is_shown(tmp_path: pathlib.Path) -> None:
    text = describe(load(None, as_environment(every_key())))
    tables = tomllib.loads(text)
    for key in KEYS:
        table = tables["topics"]["visits"] if key.path[0] == "topics" else tables[key.path[0]]
        assert key.path[-1] in table or f"# {key.path[-1]} is not set" in text


def test_the_reference_is_what_the_sections_say() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "eventbus_gateway.config"], capture_output=True, check=True, timeout=60
    ).stdout.decode()
    assert REFERENCE.read_text() == printed, "python -m eventbus_gateway.config > docs/configuration.md"


def test_every_key_of_the_reference_is_described() -> None:
    assert not [key.path for key in KEYS if not key.field.description]
    text = REFERENCE.read_text()
    assert not [key.path for key in KEYS if f"| `{key.path[-1]}` |" not in text]
