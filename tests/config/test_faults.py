"""Every fault is found, is blamed on its key, and gives no secret away."""

import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any, Literal, get_origin

import annotated_types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.config.values import FOLDER, Values, as_environment, as_toml, every_key

from eventbus_gateway.config import InvalidConfig, load
from eventbus_gateway.config.keys import ANY_TOPIC, BY_PATH, general

SOUND = every_key()
ISSUER = {"prefix": "corp", "issuer": "https://login.example", "audiences": ("eventbus",)}
PROXIES = {
    "auth__mode": "several",
    "auth__methods": ("api_keys", "certificates"),
    "auth__certificate_proxies": ("10.0.0.0/8", "fd00::/8"),
}
KAFKA_TLS = ("ca_file", "client_certificate_file", "client_key_file", "client_key_password")
MSK = "b-1.events.a1b2c3.c2.kafka.us-gov-west-1.amazonaws.com"
ROLE = "arn:aws-us-gov:iam::123456789012:role/eventbus/gateway"
IAM = {
    "kafka__bootstrap_servers": f"{MSK}:9098,{MSK.replace('b-1', 'b-2')}:9098",
    "kafka__sasl_mechanism": "AWS_MSK_IAM",
    "kafka__sasl_username": None,
    "kafka__sasl_password": None,
}
GLUE: dict[str, Any] = {
    "registry__kind": "glue",
    "registry__url": None,
    "registry__username": None,
    "registry__password": None,
    "registry__client_certificate_file": None,
    "registry__client_key_file": None,
    "registry__client_key_password": None,
}


def _faults(values: Values, environ: dict[str, str] | None = None) -> list[tuple[str, str]]:
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(as_toml(values))
            file.flush()
            load(pathlib.Path(file.name), environ or {})
    except InvalidConfig as error:
        shown, faults = f"{error} {error!r} {error.faults!r}", [(fault.key, fault.sentence) for fault in error.faults]
    else:
        shown, faults = "", []
    assert "s3cret" not in shown
    return faults


def _keys(values: Values, environ: dict[str, str] | None = None) -> list[str]:
    return [key for key, _ in _faults(values, environ)]


def _changed(**changes: Any) -> Values:
    """The sound values with others for some keys, or None for none."""
    values: Values = {**SOUND, **{tuple(name.split("__")): value for name, value in changes.items()}}
    return {path: value for path, value in values.items() if value is not None}


def _unfit(path: tuple[str, ...]) -> Iterator[Any]:
    """Values that the key must refuse."""
    key = BY_PATH[general(path)]
    kinds = key.types
    texts = any(kind is str or get_origin(kind) is Literal for kind in kinds) or key.secret
    yield {"some": "s3cret"}
    yield "no such choice" if not texts or any(get_origin(kind) is Literal for kind in kinds) else 17
    yield from () if bool in kinds else (True,)
    yield from (1.5,) if int in kinds else ()
    yield from (float("inf"), float("nan")) if float in kinds else ()
    yield from ("s3cret\nlines", "s3cret\x00") if texts else ()
    for limit in key.field.metadata:
        match limit:
            case annotated_types.Ge():
                yield int(str(limit.ge)) - 1 if int(float(str(limit.ge))) == limit.ge else 0
            case annotated_types.Gt():
                yield int(str(limit.gt))
            case annotated_types.Le():
                yield int(str(limit.le)) + 1
            case annotated_types.MaxLen() if texts:
                yield "x" * (limit.max_length + 1)
            case _:
                pass


def test_the_values_that_are_spoiled_are_sound_at_first() -> None:
    assert _faults(SOUND) == []


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_single_corruption_is_reported_with_exactly_its_key(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(SOUND)))
    value = data.draw(st.sampled_from(list(_unfit(path))))
    assert _keys({**SOUND, path: value}) == [".".join(path)]


@settings(max_examples=100, deadline=None)
@given(paths=st.sets(st.sampled_from(sorted(SOUND)), min_size=2))
def test_no_corruption_hides_another_one(paths: set[tuple[str, ...]]) -> None:
    spoiled = {**SOUND, **{path: {"some": "s3cret"} for path in paths}}
    assert sorted(_keys(spoiled)) == sorted(".".join(path) for path in paths)


@pytest.mark.parametrize("path", sorted(SOUND), ids=".".join)
def test_a_misspelt_key_is_reported_with_the_right_one(path: tuple[str, ...]) -> None:
    misspelt = (*path[:-1], path[-1] + "z")
    [(key, sentence)] = _faults({**SOUND, misspelt: "x"})
    assert key == ".".join(misspelt)
    assert sentence == f"is not a known key; did you mean {path[-1]}?"


@pytest.mark.parametrize("path", sorted(SOUND), ids=".".join)
def test_a_value_of_the_environment_that_does_not_fit_is_reported_with_its_variable(path: tuple[str, ...]) -> None:
    [(name, value)] = as_environment(
        {path: "s3cret\udcff" if BY_PATH[general(path)].text else "no such kind, s3cret"}
    ).items()
    with pytest.raises(InvalidConfig) as error:
        load(None, {**as_environment(SOUND), name: value})
    assert "s3cret" not in str(error.value)
    assert [(fault.key, fault.source) for fault in error.value.faults] == [(".".join(path), name)]


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"kafka__bootstrap_servers": None}, ["kafka.bootstrap_servers"]),
        ({"kafka__bootstrap_servers": " "}, ["kafka.bootstrap_servers"]),
        ({"kafka__bootstrap_servers": "a:1,"}, ["kafka.bootstrap_servers"]),
        ({"kafka__bootstrap_servers": "a"}, ["kafka.bootstrap_servers"]),
        ({"kafka__bootstrap_servers": "a:0"}, ["kafka.bootstrap_servers"]),
        ({"kafka__bootstrap_servers": "SSL://a:1"}, ["kafka.bootstrap_servers"]),
        ({"kafka__sasl_mechanism": None}, ["kafka.sasl_mechanism"]),
        ({"kafka__sasl_username": ""}, ["kafka.sasl_username"]),
        (
            {"kafka__sasl_password": None, "kafka__sasl_username": None},
            ["kafka.sasl_username", "kafka.sasl_password"],
        ),
        ({"kafka__sasl_password": ""}, ["kafka.sasl_password"]),
        (
            {"kafka__security_protocol": "SSL"},
            ["kafka.sasl_mechanism", "kafka.sasl_username", "kafka.sasl_password"],
        ),
        (
            {"kafka__security_protocol": "SASL_PLAINTEXT"},
            ["kafka.security_protocol", *(f"kafka.{name}" for name in KAFKA_TLS)],
        ),
        (
            {"kafka__security_protocol": "SASL_PLAINTEXT", "kafka__sasl_mechanism": "SCRAM-SHA-512"},
            [f"kafka.{name}" for name in KAFKA_TLS],
        ),
        (
            {f"kafka__{name}": None for name in ("sasl_mechanism", "sasl_username", "sasl_password")}
            | {"kafka__security_protocol": "PLAINTEXT"},
            [f"kafka.{name}" for name in KAFKA_TLS],
        ),
        ({"kafka__client_key_file": None}, ["kafka.client_key_file"]),
        ({"kafka__client_certificate_file": None}, ["kafka.client_certificate_file"]),
        ({"kafka__client_key_file": "/no/where.pem"}, ["kafka.client_key_file"]),
        ({"kafka__client_certificate_file": "/no/where.pem"}, ["kafka.client_certificate_file"]),
        (
            {"kafka__sasl_mechanism": "AWS_MSK_IAM"},
            ["kafka.sasl_username", "kafka.sasl_password", "kafka.iam_region"],
        ),
        ({**IAM, "kafka__security_protocol": "SSL"}, ["kafka.sasl_mechanism"]),
        ({**IAM, "kafka__bootstrap_servers": "broker-1:9098"}, ["kafka.iam_region"]),
        (
            {**IAM, "kafka__bootstrap_servers": f"{MSK}:9098,{MSK.replace('us-gov-west-1', 'us-east-1')}:9098"},
            ["kafka.iam_region"],
        ),
        ({**IAM, "kafka__iam_role_arn": "arn:aws:iam::12:role/x"}, ["kafka.iam_role_arn"]),
        ({**IAM, "kafka__iam_region": "here"}, ["kafka.iam_region"]),
        (
            {**IAM, "kafka__iam_role_session_name": "gateway", "kafka__iam_external_id": "s3cret-external"},
            ["kafka.iam_role_session_name", "kafka.iam_external_id"],
        ),
        (
            {"kafka__iam_region": "us-east-1", "kafka__iam_role_arn": ROLE},
            ["kafka.iam_region", "kafka.iam_role_arn"],
        ),
        ({"registry__url": None}, ["registry.url"]),
        ({"registry__url": "ftp://registry.example"}, ["registry.url"]),
        ({"registry__url": "registry.example"}, ["registry.url"]),
        ({"registry__url": "https://"}, ["registry.url"]),
        ({"registry__url": "https://user:s3cret-basic@registry.example"}, ["registry.url"]),
        ({"registry__url": "https://registry.example:port"}, ["registry.url"]),
        ({"registry__url": "https://registry.example?a=b"}, ["registry.url"]),
        ({"registry__url": "http://registry.example"}, ["registry.ca_file", "registry.client_certificate_file"]),
        ({"registry__kind": "folder"}, ["registry.folder", "registry.url"]),
        ({"registry__kind": "folder", "registry__url": None, "registry__folder": "/no/where"}, ["registry.folder"]),
        ({"registry__folder": FOLDER}, ["registry.folder"]),
        (
            {"registry__kind": "glue"},
            ["registry.url", *(f"registry.{name}" for name in ("username", "password", "client_certificate_file"))],
        ),
        ({"registry__aws_region": "eu-central-1"}, ["registry.aws_region"]),
        ({"registry__aws_region": "Frankfurt"}, ["registry.aws_region"]),
        ({"registry__aws_sts_region": "eu-central-1"}, ["registry.aws_sts_region"]),
        ({"registry__aws_role_arn": "role/schemas"}, ["registry.aws_role_arn"]),
        ({**GLUE, "registry__aws_endpoint_url": "vpce-1"}, ["registry.aws_endpoint_url"]),
        ({**GLUE, "registry__aws_external_id": "s3cret-external-id"}, ["registry.aws_external_id"]),
        ({**GLUE, "registry__glue_registry": "a/b"}, ["registry.glue_registry"]),
        ({"registry__username": None}, ["registry.username"]),
        ({"registry__password": None}, ["registry.password"]),
        ({"registry__bearer_token": "s3cret-bearer"}, ["registry.bearer_token"]),
        (
            {"registry__bearer_token": "", "registry__username": None, "registry__password": None},
            ["registry.bearer_token"],
        ),
        ({"registry__ca_file": "/no/where.pem"}, ["registry.ca_file"]),
        ({"registry__client_key_file": "/no/where.pem"}, ["registry.client_key_file"]),
        (
            {"registry__client_certificate_file": None},
            ["registry.client_key_file", "registry.client_key_password"],
        ),
        ({"registry__client_certificate_file": FOLDER}, ["registry.client_certificate_file"]),
        ({"kafka__ca_file": "/no/where.pem"}, ["kafka.ca_file"]),
        ({"kafka__ca_file": __file__}, ["kafka.ca_file"]),
        ({"registry__ca_file": __file__}, ["registry.ca_file"]),
        ({"webhooks__ca_file": __file__}, ["webhooks.ca_file"]),
        ({"audit__enabled": True, "audit__file": "/no/where/audit.log"}, ["audit.file"]),
        ({"audit__enabled": True, "audit__file": f"{FOLDER}/missing/audit.log"}, ["audit.file"]),
        ({"auth__api_keys": None, "auth__grants": None}, ["auth.api_keys"]),
        ({"auth__api_keys": (), "auth__mode": None}, ["auth.api_keys", "auth.grants[0].principal"]),
        ({"auth__api_keys": SOUND["auth", "api_keys"] * 3}, ["auth.api_keys[1].sha256", "auth.api_keys[2].sha256"]),
        ({"auth__api_keys": ({"principal": "scheduling", "sha256": "A" * 64},)}, ["auth.api_keys[0].sha256"]),
        ({"auth__api_keys": ({"principal": "scheduling"},)}, ["auth.api_keys[0].sha256"]),
        (
            {"auth__grants": ({"principal": "labs", "actions": ("publish",), "topics": ("a",)},)},
            ["auth.grants[0].principal"],
        ),
        ({"auth__grants": ({"actions": ("read",), "topics": ("a",)},)}, ["auth.grants[0]"]),
        ({"auth__limits": ({"principal": "a", "role": "b"},)}, ["auth.limits[0]"]),
        (
            {"auth__grants": ({"principal": "*", "actions": ("delete",), "topics": ("a",)},)},
            ["auth.grants[0].actions[0]"],
        ),
        (
            {"auth__grants": ({"principal": "*", "actions": ("read",), "topics": ("a", "b?")},)},
            ["auth.grants[0].topics[1]"],
        ),
        ({"auth__methods": ("api_keys",)}, ["auth.methods"]),
        ({"auth__mode": "several"}, ["auth.methods"]),
        ({"auth__mode": "several", "auth__methods": ("api_keys", "api_keys")}, ["auth.methods"]),
        ({"auth__mode": "several", "auth__methods": ("anonymous",)}, ["auth.methods"]),
        ({"auth__mode": "several", "auth__methods": ("password",)}, ["auth.methods[0]"]),
        (
            {"auth__mode": "several", "auth__methods": ("certificates",)},
            ["auth.certificate_proxies", "auth.certificates"],
        ),
        ({"auth__certificate_proxies": ("10.0.0.0/8",)}, ["auth.certificate_proxies"]),
        ({"auth__certificate_proxies": ("10.0.0.1/8",)}, ["auth.certificate_proxies[0]"]),
        ({"auth__certificate_header": "Authorization"}, ["auth.certificate_header"]),
        ({"auth__certificate_header": "authorization"}, ["auth.certificate_header"]),
        (
            {**PROXIES, "auth__certificates": ({"value": "CN=a", "principal": "a"},) * 2},
            ["auth.certificates[1].value"],
        ),
        (
            {
                **PROXIES,
                "auth__certificate_format": "subject",
                "auth__certificates": ({"kind": "dns", "value": "a.example", "principal": "a"},),
            },
            ["auth.certificates[0].kind"],
        ),
        (
            {**PROXIES, "auth__certificates": ({"value": "CN=a", "principal": "anonymous"},)},
            ["auth.certificates[0].principal"],
        ),
        (
            {"auth__api_keys": (*SOUND["auth", "api_keys"], {"principal": "anonymous", "sha256": "6" * 64})},
            ["auth.api_keys[1].principal"],
        ),
        ({"publish__max_batch_bytes": 2_000, "publish__max_event_bytes": 3_000}, ["publish.max_batch_bytes"]),
        (
            {"publish__max_batch_bytes": 5_000_000, "http__max_in_flight_bytes": 4_000_000},
            ["http.max_in_flight_bytes"],
        ),
        (
            {"publish__max_batch_bytes": 5_000_000, "kafka__max_in_flight_bytes": 4_000_000},
            ["kafka.max_in_flight_bytes"],
        ),
        (
            {"kafka__max_record_bytes": 60_000_000, "kafka__max_in_flight_bytes": 50_000_000},
            ["kafka.max_in_flight_bytes"],
        ),
        (
            {"publish__max_batch_events": 500, "kafka__max_in_flight_records": 499},
            ["kafka.max_in_flight_records"],
        ),
        ({"http__port": 8000, "http__internal_port": 8000, "http__host": "::"}, ["http.internal_port"]),
        ({"subscriptions__peer_secret": None}, ["subscriptions.peer_secret"]),
        ({"subscriptions__peer_secret": ""}, ["subscriptions.peer_secret"]),
        ({"subscriptions__peer_secret": "s3cret" * 5}, ["subscriptions.peer_secret"]),
        ({"subscriptions__enabled": None, "subscriptions__peer_secret": "s3cret"}, ["subscriptions.peer_secret"]),
        ({"subscriptions__advertised_address": "gateway"}, ["subscriptions.advertised_address"]),
        (
            {"subscriptions__advertised_address": None, "http__internal_host": "::"},
            ["subscriptions.advertised_address"],
        ),
        (
            {"subscriptions__max_lease_seconds": 20.0, "subscriptions__default_lease_seconds": 21.0},
            ["subscriptions.max_lease_seconds"],
        ),
        (
            {"subscriptions__max_subscriptions": 20, "subscriptions__max_subscriptions_per_owner": 21},
            ["subscriptions.max_subscriptions"],
        ),
        (
            {"http__max_in_flight_requests": 100, "subscriptions__max_concurrent_polls": 100},
            ["subscriptions.max_concurrent_polls"],
        ),
    ],
)
def test_what_does_not_go_together_is_reported(changes: dict[str, Any], keys: list[str]) -> None:
    assert _keys(_changed(**changes)) == keys


@pytest.mark.parametrize(
    "changes",
    [
        {"registry__kind": "folder", "registry__url": None, "registry__folder": FOLDER},
        {"kafka__client_key_password": None},
        {f"kafka__{name}": None for name in KAFKA_TLS},
        {f"kafka__sasl_{name}": None for name in ("mechanism", "username", "password")}
        | {"kafka__security_protocol": "SSL"},
        IAM,
        {**IAM, "kafka__bootstrap_servers": "broker-1:9098", "kafka__iam_region": "us-gov-west-1"},
        {
            **IAM,
            "kafka__iam_role_arn": ROLE,
            "kafka__iam_role_session_name": "gateway",
            "kafka__iam_external_id": "s3cret-external",
            "kafka__iam_sts_region": "us-gov-west-1",
            "kafka__iam_profile": "kafka",
        },
        {"auth__mode": "anonymous", "auth__api_keys": None, "auth__grants": None},
        GLUE,
        {
            **GLUE,
            "registry__aws_role_arn": "arn:aws:iam::123456789012:role/a",
            "registry__aws_sts_region": "eu-west-1",
        },
        {"http__port": 0, "http__internal_port": 0},
        {"http__max_in_flight_requests": 100, "subscriptions__max_concurrent_polls": 99},
        {"topics__visits__key_format": "avro", "topics__visits__key": None},
        {"registry__bearer_token": "s3cret-bearer", "registry__username": None, "registry__password": None},
        {"auth__grants": ({"principal": "*", "actions": ("read", "publish"), "topics": ("*",)},)},
        {"auth__key_table": True, "auth__api_keys": None},
        {
            **PROXIES,
            "auth__certificate_format": None,
            "auth__certificates": ({"kind": "uri", "value": "spiffe://example/a", "principal": "a"},),
        },
        {"auth__mode": "several", "auth__methods": ("api_keys", "oidc", "anonymous"), "auth__oidc": (ISSUER,)},
        {"auth__grants": ({"role": "ward", "actions": ("manage", "admin"), "topics": ("*",)},)},
    ],
)
def test_what_goes_together_is_no_fault(changes: dict[str, Any]) -> None:
    assert _faults(_changed(**changes)) == []


def test_without_avro_no_registry_is_needed() -> None:
    values = {path: value for path, value in SOUND.items() if path[0] not in {"registry", "topics", "topic_defaults"}}
    values["topic_defaults", "format"] = "json"
    assert _keys(values) == []
    assert _keys(values | {("topics", "visits", "key_format"): "avro"}) == ["registry.url"]


def test_no_keys_at_all_says_what_to_do() -> None:
    [(_, sentence)] = _faults(_changed(auth__api_keys=None, auth__grants=None))
    assert "add a key" in sentence
    assert '"anonymous"' in sentence


@pytest.mark.parametrize("name", [".", "..", "_internal", "", "a b", "a/b", "ä", "a" * 250, "a\n", "[key]"])
def test_what_is_no_topic_name_is_reported_and_the_other_topics_are_still_looked_at(name: str) -> None:
    quoted = '"' + name.replace("\n", "\\n") + '"'
    values = {**SOUND, ("topics", quoted, "format"): "json", ("topics", "labs", "key"): "no pointer"}
    assert [key.startswith("topics.") for key in _keys(values)] == [True, True]
    assert _keys(values)[1] == "topics.labs.key" or _keys(values)[0] == "topics.labs.key"


@pytest.mark.parametrize("name", ["...", "a", "A-1._", ".a", "a" * 249, "-"])
def test_what_kafka_takes_as_a_topic_name_is_a_topic_name(name: str) -> None:
    assert _faults({**SOUND, ("topics", f'"{name}"', "format"): "json"}) == []


def test_more_topics_than_the_bound_are_one_fault() -> None:
    many: Values = {("topics", f"topic-{number}", "format"): "json" for number in range(10_000)}
    assert _keys({**SOUND, **many}) == ["topics"]


def test_a_value_in_the_place_of_a_table_is_one_fault(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "eventbus.toml"
    path.write_text("kafka = 3\n" + as_toml({path: value for path, value in SOUND.items() if path[0] != "kafka"}))
    with pytest.raises(InvalidConfig) as error:
        load(path, {"EVENTBUS_KAFKA__CLIENT_ID": "x"})
    assert [fault.key for fault in error.value.faults] == ["kafka"]


def test_an_unknown_table_is_reported_with_the_nearest_one() -> None:
    [(key, sentence)] = _faults({**SOUND, ("kafak", "x"): 1})
    assert (key, sentence) == ("kafak", "is not a known key; did you mean kafka?")


def test_every_fault_is_a_line_of_the_error() -> None:
    with pytest.raises(InvalidConfig) as error:
        load(None, {"EVENTBUS_HTTP__PORT": "99999", "EVENTBUS_NOTHING": "x"})
    lines = str(error.value).splitlines()
    assert len(lines) == 1 + len(error.value.faults)
    assert "  http.port: must be at most 65535 (EVENTBUS_HTTP__PORT)" in lines


def test_the_pattern_of_a_topic_stands_for_its_name() -> None:
    assert general(("topics", "visits", "key")) == ("topics", ANY_TOPIC, "key")
