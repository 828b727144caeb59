"""How files and environment become one configuration."""

import pathlib
from typing import Any

import pytest
from tests.config.values import LEFT_OUT, OF_GLUE, SECRETS, TOPIC, as_environment, as_toml, every_key

from eventbus_gateway.config import Config, InvalidConfig, load
from eventbus_gateway.config.keys import KEYS

LEAST = """
[kafka]
bootstrap_servers = "broker:9092"
[registry]
url = "http://registry.example"
[auth]
mode = "anonymous"
"""
LEAST_ENVIRONMENT = {
    "EVENTBUS_KAFKA__BOOTSTRAP_SERVERS": "broker:9092",
    "EVENTBUS_REGISTRY__URL": "http://registry.example",
    "EVENTBUS_AUTH__MODE": "anonymous",
}


def _file(folder: pathlib.Path, text: str) -> pathlib.Path:
    path = folder / "eventbus.toml"
    path.write_text(text)
    return path


def _keys(error: pytest.ExceptionInfo[InvalidConfig]) -> list[str]:
    return [fault.key for fault in error.value.faults]


def _value(config: Config, path: tuple[str, ...]) -> Any:
    section = config.topics[path[1]] if path[0] == "topics" else getattr(config, path[0])
    value = getattr(section, path[-1])
    if isinstance(value, tuple):
        return tuple(item if isinstance(item, str) else item.model_dump(exclude_unset=True) for item in value)
    return value.get_secret_value() if path[-1] in SECRETS else value


def test_a_file_with_the_least_that_is_needed_is_enough(tmp_path: pathlib.Path) -> None:
    config = load(_file(tmp_path, LEAST), {})
    assert config.kafka.bootstrap_servers == "broker:9092"
    assert config.http.port == 8080
    assert config.topics == {}


def test_the_environment_alone_is_enough() -> None:
    assert dict(load(None, LEAST_ENVIRONMENT)) == dict(
        load(None, {**LEAST_ENVIRONMENT, "HOME": "/", "EVENTBUSY": "x"})
    )


def test_every_key_can_be_set_in_the_file(tmp_path: pathlib.Path) -> None:
    values = every_key()
    config = load(_file(tmp_path, as_toml(values)), {})
    assert {path: _value(config, path) for path in values} == values


def test_every_key_can_be_set_by_the_environment(tmp_path: pathlib.Path) -> None:
    values = every_key()
    config = load(None, as_environment(values))
    assert {path: _value(config, path) for path in values} == values


@pytest.mark.parametrize("path", sorted(every_key()), ids=".".join)
def test_the_environment_wins_over_the_file(path: tuple[str, ...], tmp_path: pathlib.Path) -> None:
    values = every_key()
    spoiled = as_toml({**values, path: {"not": "this"}})
    with pytest.raises(InvalidConfig):
        load(_file(tmp_path, spoiled), {})
    config = load(_file(tmp_path, spoiled), as_environment({path: values[path]}))
    assert dict(config) == dict(load(_file(tmp_path, as_toml(values)), {}))


def test_no_key_is_left_out_of_these_tests() -> None:
    paths = [tuple("<name>" if part == TOPIC else part for part in path) for path in every_key()]
    assert {key.path for key in KEYS} == {*paths, *(tuple(name.split(".")) for name in LEFT_OUT)}


def test_the_folder_and_the_token_of_a_registry_can_be_set_by_the_environment(tmp_path: pathlib.Path) -> None:
    folder = load(
        _file(tmp_path, LEAST),
        {
            "EVENTBUS_REGISTRY__KIND": "folder",
            "EVENTBUS_REGISTRY__FOLDER": str(tmp_path),
            "EVENTBUS_REGISTRY__URL": "",
        },
    ).registry
    assert (folder.kind, folder.folder, folder.url) == ("folder", str(tmp_path), "")
    token = load(_file(tmp_path, LEAST), {"EVENTBUS_REGISTRY__BEARER_TOKEN": "s3cret"}).registry.bearer_token
    assert token is not None
    assert token.get_secret_value() == "s3cret"


def test_a_registry_in_glue_can_be_set_by_the_environment_alone() -> None:
    environ = {f"EVENTBUS_REGISTRY__{name.upper()}": value for name, value in OF_GLUE.items()}
    given = {**LEAST_ENVIRONMENT, **environ, "EVENTBUS_REGISTRY__KIND": "glue", "EVENTBUS_REGISTRY__URL": ""}
    registry = load(None, given).registry
    assert registry.kind == "glue"
    assert registry.aws_external_id is not None
    found = {**registry.model_dump(), "aws_external_id": registry.aws_external_id.get_secret_value()}
    assert {name: found[name] for name in OF_GLUE} == OF_GLUE


def test_a_table_can_be_given_whole_as_json(tmp_path: pathlib.Path) -> None:
    environ = {"EVENTBUS_KAFKA": '{"linger_ms": 5, "client_id": "table"}', "EVENTBUS_KAFKA__CLIENT_ID": "key"}
    kafka = load(_file(tmp_path, LEAST), environ).kafka
    assert (kafka.linger_ms, kafka.client_id, kafka.bootstrap_servers) == (5, "key", "broker:9092")


def test_any_topic_can_be_given_as_json() -> None:
    environ = {**LEAST_ENVIRONMENT, "EVENTBUS_TOPICS": '{"clinic.visits": {"key": "/visit"}, "LABS__x": {}}'}
    config = load(None, environ)
    assert set(config.topics) == {"clinic.visits", "LABS__x"}
    assert config.topic("clinic.visits").key == "/visit"


def test_a_topic_in_capitals_means_the_one_in_lower_case_and_others_are_taken_as_they_are() -> None:
    environ = {"EVENTBUS_TOPICS__LAB_RESULTS__KEY": "/a", "EVENTBUS_TOPICS__Lab-Results.2__KEY": "/b"}
    config = load(None, {**LEAST_ENVIRONMENT, **environ})
    assert {name: topic.key for name, topic in config.topics.items()} == {"lab_results": "/a", "Lab-Results.2": "/b"}


def test_a_topic_that_is_named_like_a_service_is_still_a_topic() -> None:
    config = load(None, {**LEAST_ENVIRONMENT, "EVENTBUS_TOPICS__A_SERVICE_PORT__KEY": "/a"})
    assert config.topic("a_service_port").key == "/a"


def test_two_variables_for_one_topic_key_are_a_fault() -> None:
    environ = {"EVENTBUS_TOPICS__VISITS__KEY": "/a", "EVENTBUS_TOPICS__visits__KEY": "/b"}
    with pytest.raises(InvalidConfig) as error:
        load(None, {**LEAST_ENVIRONMENT, **environ})
    assert _keys(error) == ["topics.visits.key"]


def test_an_empty_variable_unsets_a_key_that_may_be_empty(tmp_path: pathlib.Path) -> None:
    text = LEAST + '[topics.visits]\nkey = "/id"\nschema_version = 3\n'
    environ = {"EVENTBUS_TOPICS__VISITS__KEY": "", "EVENTBUS_TOPICS__VISITS__SCHEMA_VERSION": ""}
    visits = load(_file(tmp_path, text), environ).topics["visits"]
    assert (visits.key, visits.schema_version) == (None, None)


def test_a_topic_takes_what_it_leaves_out_from_the_defaults(tmp_path: pathlib.Path) -> None:
    text = LEAST + '[topic_defaults]\nformat = "json"\nsource = "clinic"\n[topics.a]\nformat = "avro"\n[topics.b]\n'
    config = load(_file(tmp_path, text), {})
    assert (config.topic("a").format, config.topic("a").source) == ("avro", "clinic")
    assert (config.topic("b").format, config.topic("elsewhere").format) == ("json", "json")


def test_the_topics_cannot_be_changed(tmp_path: pathlib.Path) -> None:
    config = load(_file(tmp_path, LEAST + "[topics.a]\n"), {})
    with pytest.raises(TypeError):
        config.topics["b"] = config.topic_defaults  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EVENTBUS_GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("EVENTBUS_GATEWAY_SERVICE_PORT", "80"),
        ("EVENTBUS_GATEWAY_SERVICE_PORT_HTTP_METRICS", "8081"),
        ("EVENTBUS_GATEWAY_PORT", "tcp://10.0.0.1:80"),
        ("EVENTBUS_GATEWAY_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("EVENTBUS_GATEWAY_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("EVENTBUS_PORT", "tcp://10.0.0.1:80"),
        ("EVENTBUS_CONFIG", "/etc/eventbus.toml"),
        ("EVENTBUS_WEBHOOK_SECRET", "whsec_"),
    ],
)
def test_variables_that_describe_a_service_and_options_of_commands_are_no_keys(name: str, value: str) -> None:
    load(None, {**LEAST_ENVIRONMENT, name: value})


@pytest.mark.parametrize(
    "name",
    [
        "EVENTBUS_HTTP_PORT",
        "EVENTBUS_PORT",
        "EVENTBUS_",
        "EVENTBUS_HTTP__",
        "EVENTBUS___PORT",
        "EVENTBUS_HTTP__PORT__X",
        "EVENTBUS_http__port",
        "EVENTBUS_KAFKA__CLIENT",
        "EVENTBUS_TOPICS__A__B__KEY",
        "EVENTBUS_TOPICS__A__KEYS",
        "EVENTBUS_CONFIG_FILE",
    ],
)
def test_other_variables_with_the_prefix_are_faults(name: str) -> None:
    with pytest.raises(InvalidConfig) as error:
        load(None, {**LEAST_ENVIRONMENT, name: "8080"})
    assert _keys(error) == [name]


def test_an_unknown_variable_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(InvalidConfig, match=r"did you mean EVENTBUS_HTTP__PORT\?"):
        load(None, {**LEAST_ENVIRONMENT, "EVENTBUS_HTTP_PORT": "8080"})


def test_a_secret_can_come_from_a_file(tmp_path: pathlib.Path) -> None:
    values = every_key()
    environ = as_environment(values)
    for name in ("EVENTBUS_KAFKA__SASL_PASSWORD", "EVENTBUS_REGISTRY__PASSWORD"):
        secret = tmp_path / name
        secret.write_text(environ.pop(name) + "\n")
        environ[f"{name}_FILE"] = str(secret)
    assert dict(load(None, environ)) == dict(load(None, as_environment(values)))


def test_a_secret_file_in_the_environment_wins_over_a_secret_in_the_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "secret").write_text("from its file")
    file = _file(tmp_path, as_toml(every_key()))
    config = load(file, {"EVENTBUS_KAFKA__SASL_PASSWORD_FILE": str(tmp_path / "secret")})
    assert config.kafka.sasl_password is not None
    assert config.kafka.sasl_password.get_secret_value() == "from its file"


def test_a_secret_in_the_environment_wins_over_a_secret_file_in_the_file(tmp_path: pathlib.Path) -> None:
    text = as_toml(every_key()).replace('sasl_password = "s3cret-sasl"', 'sasl_password_file = "/nowhere"')
    config = load(_file(tmp_path, text), {"EVENTBUS_KAFKA__SASL_PASSWORD": "direct"})
    assert config.kafka.sasl_password is not None
    assert config.kafka.sasl_password.get_secret_value() == "direct"


def test_a_secret_beside_its_file_is_a_fault(tmp_path: pathlib.Path) -> None:
    environ = {**as_environment(every_key()), "EVENTBUS_KAFKA__SASL_PASSWORD_FILE": "/nowhere"}
    with pytest.raises(InvalidConfig) as error:
        load(None, environ)
    assert _keys(error) == ["kafka.sasl_password_file"]


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe", b"x" * 70_000, b"two\nlines"])
def test_a_secret_file_that_cannot_be_used_is_one_fault(content: bytes | None, tmp_path: pathlib.Path) -> None:
    values = every_key()
    del values["kafka", "sasl_password"]
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    with pytest.raises(InvalidConfig) as error:
        load(None, {**as_environment(values), "EVENTBUS_KAFKA__SASL_PASSWORD_FILE": str(secret)})
    assert _keys(error) == ["kafka.sasl_password" if content == b"two\nlines" else "kafka.sasl_password_file"]


def test_a_file_that_does_not_exist_is_one_fault(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidConfig, match="cannot be read: No such file or directory") as error:
        load(tmp_path / "nothing.toml", {})
    assert _keys(error) == [str(tmp_path / "nothing.toml")]


def test_broken_toml_is_a_fault_with_its_line_beside_the_faults_of_the_environment(tmp_path: pathlib.Path) -> None:
    file = _file(tmp_path, LEAST + "[http]\nport 8080\n")
    with pytest.raises(InvalidConfig, match="line 9") as error:
        load(file, {"EVENTBUS_HTTP__PORT": "many"})
    assert _keys(error) == [str(file), "http.port"]


@pytest.mark.parametrize("text", ["x = " + "[" * 10_000, "x = 'a\x00'", "kafka = {client_id = 'a\nb'}"])
def test_hostile_toml_is_a_fault(text: str, tmp_path: pathlib.Path) -> None:
    file = _file(tmp_path, text)
    with pytest.raises(InvalidConfig) as error:
        load(file, {})
    assert _keys(error) == [str(file)]


def test_broken_toml_does_not_show_a_character_of_a_secret(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidConfig) as error:
        load(_file(tmp_path, "[kafka]\nsasl_password = 'Q\x01'"), {})
    assert "x01" not in str(error.value)
    assert "line 2" in str(error.value)
