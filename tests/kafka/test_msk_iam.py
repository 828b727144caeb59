"""Tokens for Amazon MSK: what is signed, for how long, with whose credentials, and what happens without any."""

import base64
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import botocore.session
import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from confluent_kafka.admin import AdminClient
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer
from tests.kafka.sts_server import StsServer
from tests.kafka.support import PATIENCE, FakeClock

from eventbus_gateway.kafka.aws_credentials import (
    MARGIN_SECONDS,
    CredentialSource,
    Lent,
    NoCredentialsError,
    prepared,
)
from eventbus_gateway.kafka.configuration import client_config
from eventbus_gateway.kafka.msk_iam import NO_TOKEN, MskTokens, lifetime, msk_tokens, region_of
from eventbus_gateway.kafka.settings import KafkaSettings
from eventbus_gateway.kafka.sigv4 import TOKEN_SECONDS, AwsCredentials, msk_token

ROLE = "arn:aws:iam::123456789012:role/eventbus/gateway"
_texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


def parameters(token: str) -> dict[str, str]:
    """What the presigned URL in a token says."""
    url = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    return {"host": urlsplit(url).netloc, **dict(parse_qsl(urlsplit(url).query, strict_parsing=True))}


class Purse:
    """Credentials that a test sets."""

    def __init__(self, seconds: int | None = None) -> None:
        self.seconds = seconds
        self.reason: str | None = None
        self.lent = 0

    def lend(self) -> Lent:
        self.lent += 1
        if self.reason is not None:
            raise NoCredentialsError(self.reason)
        return Lent(AwsCredentials(f"AKIA{self.lent}", "s3cret-key", "s3cret-session"), self.seconds)


@settings(max_examples=60, deadline=None)
@given(_texts, _texts, st.none() | _texts, st.sampled_from(["us-east-1", "us-gov-west-1", "eu-central-1"]))
def test_a_token_is_signed_as_botocore_signs_it(key: str, secret: str, session: str | None, region: str) -> None:
    host = f"kafka.{region}.amazonaws.com"
    request = AWSRequest("GET", f"https://{host}/", params={"Action": "kafka-cluster:Connect"})
    SigV4QueryAuth(Credentials(key, secret, session), "kafka-cluster", region, expires=900).add_auth(request)
    theirs = {"host": host, **dict(parse_qsl(urlsplit(str(request.url)).query, strict_parsing=True))}
    moment = datetime.strptime(theirs["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    ours = parameters(msk_token(AwsCredentials(key, secret, session), region, moment, user_agent="a gateway"))
    assert ours.pop("User-Agent") == "a gateway"
    assert ours == theirs


@given(st.none() | st.integers(-1_000, 100_000))
def test_a_token_ends_before_its_credentials_and_after_900_seconds_at_the_latest(seconds: int | None) -> None:
    good = lifetime(seconds)
    assert good <= TOKEN_SECONDS
    if seconds is None:
        assert good == TOKEN_SECONDS
    else:
        assert good <= seconds - MARGIN_SECONDS
        assert good in {TOKEN_SECONDS, seconds - MARGIN_SECONDS}


@pytest.mark.parametrize(
    ("servers", "region"),
    [
        ("b-1.events.a1b2c3.c2.kafka.us-gov-west-1.amazonaws.com:9098", "us-gov-west-1"),
        (
            "B-1-public.events.a1b2c3.c2.Kafka.eu-central-1.amazonaws.com:9198,b-2.x.kafka.eu-central-1.amazonaws.com:9198",
            "eu-central-1",
        ),
        ("boot-abc.c1.kafka-serverless.us-east-1.amazonaws.com:9098", "us-east-1"),
        ("b-1.events.a1b2c3.c2.kafka.cn-north-1.amazonaws.com.cn:9098", "cn-north-1"),
        ("broker.example.org:9098", None),
        ("b-1.x.kafka.us-east-1.amazonaws.com:9098,b-1.x.kafka.us-west-2.amazonaws.com:9098", None),
        ("b-1.x.kafka.us-east-1.amazonaws.com.example.org:9098", None),
    ],
)
def test_the_brokers_names_tell_the_region(servers: str, region: str | None) -> None:
    assert region_of(KafkaSettings(bootstrap_servers=servers)) == region
    assert region_of(KafkaSettings(bootstrap_servers=servers, iam_region="sa-east-1")) == "sa-east-1"


def test_one_token_serves_all_clients_until_half_of_its_life_is_over() -> None:
    clock, purse = FakeClock(), Purse()
    tokens = MskTokens(purse, "us-east-1", clock=clock)
    assert tokens.expires_at() is None
    first = tokens("")
    assert first[1] == clock.now + TOKEN_SECONDS == tokens.expires_at()
    clock.now += TOKEN_SECONDS / 2 - 1
    assert tokens("") == first
    clock.now += 1
    assert tokens("")[1] == clock.now + TOKEN_SECONDS == tokens.expires_at()
    assert purse.lent == 2
    # A clock that was set back: the token's time would be in the future.
    clock.now -= 3_600
    assert tokens("")[1] == clock.now + TOKEN_SECONDS


def test_clients_that_ask_together_are_answered_by_one_look_at_the_credentials() -> None:
    begun, go_on = threading.Barrier(8), threading.Event()

    class Slow(Purse):
        def lend(self) -> Lent:
            assert go_on.wait(10)
            return super().lend()

    slow = Slow()
    tokens = MskTokens(slow, "us-east-1")
    found: list[tuple[str, float]] = []

    def ask() -> None:
        begun.wait(10)
        found.append(tokens(""))

    threads = [threading.Thread(target=ask) for _ in range(7)]
    for thread in threads:
        thread.start()
    begun.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert len(found) == 7
    assert len(set(found)) == 1
    assert slow.lent == 1


def test_nobody_waits_long_for_credentials_that_do_not_come_and_they_count_when_they_do() -> None:
    come = threading.Event()

    class Late(Purse):
        def lend(self) -> Lent:
            assert come.wait(PATIENCE)
            return super().lend()

    late = Late()
    tokens = MskTokens(late, "us-east-1", patience=0.05)
    assert [tokens("")[0] for _ in range(3)] == [NO_TOKEN] * 3
    come.set()
    deadline = time.monotonic() + PATIENCE
    while tokens("")[0] == NO_TOKEN:
        assert time.monotonic() < deadline
    assert late.lent == 1


def test_a_token_goes_on_while_no_new_one_can_be_had_and_then_there_is_none(caplog: pytest.LogCaptureFixture) -> None:
    clock, purse = FakeClock(), Purse()
    tokens = MskTokens(purse, "us-east-1", clock=clock)
    first = tokens("")
    purse.reason = "AWS refused with AccessDenied"
    clock.now += 600
    assert tokens("") == first
    clock.now = first[1] - 4
    text, expires = tokens("")
    assert text == NO_TOKEN
    assert clock.now < expires < clock.now + 60
    purse.reason = None
    clock.now += 5
    assert tokens("")[1] == clock.now + TOKEN_SECONDS
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        "no AWS credentials to sign in to Kafka with: AWS refused with AccessDenied"
    ] * 2


def test_while_there_are_no_credentials_they_are_looked_for_every_two_seconds_however_many_ask() -> None:
    clock, purse = FakeClock(), Purse()
    purse.reason = "none"
    tokens = MskTokens(purse, "us-east-1", clock=clock)
    for _ in range(50):
        assert tokens("")[0] == NO_TOKEN
    assert purse.lent == 1
    clock.now += 2
    tokens("")
    assert purse.lent == 2


def test_credentials_that_are_about_to_end_sign_nothing() -> None:
    purse = Purse(seconds=MARGIN_SECONDS + 4)
    tokens = MskTokens(purse, "us-east-1")
    assert tokens("")[0] == NO_TOKEN
    assert tokens.expires_at() is None


def test_no_secret_shows_in_a_repr() -> None:
    purse = Purse()
    tokens = MskTokens(purse, "us-east-1")
    tokens("")
    shown = f"{tokens!r} {tokens._token!r} {purse.lend()!r}"
    assert "s3cret" not in shown
    assert tokens("")[0] not in shown


def test_all_clients_of_one_identity_share_their_tokens_and_others_do_not() -> None:
    def callback(**more: Any) -> object:
        iam = {"bootstrap_servers": "b:1", "sasl_mechanism": "AWS_MSK_IAM", "iam_region": "us-east-1", **more}
        config = client_config(KafkaSettings(security_protocol="SASL_SSL", **iam))
        assert config["sasl.mechanisms"] == "OAUTHBEARER"
        return config["oauth_cb"]

    assert callback() is callback(client_id="another", bootstrap_servers="c:1")
    assert callback() is not callback(iam_role_arn=ROLE)
    assert callback() is not callback(iam_region="us-west-2")


def test_a_client_that_nobody_polls_asks_for_further_tokens() -> None:
    again = threading.Semaphore(0)

    def token(config: str) -> tuple[str, float]:
        again.release()
        return "token", time.time() + 1.5

    config: dict[str, Any] = {
        "bootstrap.servers": "127.0.0.1:1",
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "OAUTHBEARER",
        "oauth_cb": token,
        "error_cb": lambda error: None,
        "log_level": 0,
    }
    client = AdminClient(config)
    assert all(again.acquire(timeout=PATIENCE) for _ in range(3))
    assert repr(client)


def test_a_cluster_of_an_unknown_region_is_an_error() -> None:
    with pytest.raises(ValueError, match="iam_region"):
        msk_tokens(KafkaSettings(bootstrap_servers="broker:9098"))


# Where credentials come from.


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def _session(folder: Path, endpoint: str, **profile: str) -> Callable[[], botocore.session.Session]:
    """A session that knows only what is said here."""
    file = folder / "aws-config"
    lines = [f"{name} = {value}" for name, value in {"endpoint_url": endpoint, **profile}.items()]
    file.write_text("[profile test]\n" + "\n".join(lines) + "\n")

    def open_session() -> botocore.session.Session:
        session = botocore.session.Session(profile="test")
        session.set_config_variable("config_file", str(file))
        session.set_config_variable("credentials_file", str(folder / "none"))
        return prepared(session, "us-gov-west-1")

    return open_session


_KEYS = {"aws_access_key_id": "AKIASTATIC", "aws_secret_access_key": "s3cret-static"}


def _who(lent: Lent, endpoint: str) -> str:
    """The principal that credentials stand for, as STS says it."""
    client = botocore.session.Session().create_client(
        "sts",
        region_name="us-gov-west-1",
        endpoint_url=endpoint,
        aws_access_key_id=lent.credentials.access_key_id,
        aws_secret_access_key=lent.credentials.secret_access_key,
        aws_session_token=lent.credentials.session_token,
    )
    return str(client.get_caller_identity()["Arn"])  # type: ignore[attr-defined]  # made from the service's model


def test_a_role_is_assumed_under_the_same_name_each_time(moto: str, tmp_path: Path) -> None:
    chosen = KafkaSettings(iam_role_arn="arn:aws:iam::123456789012:role/gateway", iam_role_session_name="bus")
    found = [CredentialSource(chosen, _session(tmp_path, moto, **_KEYS)).lend() for _ in range(2)]
    assert found[0].credentials.access_key_id != found[1].credentials.access_key_id
    assert {_who(lent, moto) for lent in found} == {"arn:aws-us-gov:sts::123456789012:assumed-role/gateway/bus"}
    assert all(lent.seconds is not None and lent.seconds > TOKEN_SECONDS for lent in found)


def test_a_web_identity_becomes_its_role(moto: str, tmp_path: Path) -> None:
    (tmp_path / "web-identity").write_text("s3cret-web-identity")
    profile = {
        "role_arn": "arn:aws:iam::123456789012:role/irsa",
        "role_session_name": "bus",
        "web_identity_token_file": str(tmp_path / "web-identity"),
    }
    lent = CredentialSource(KafkaSettings(), _session(tmp_path, moto, **profile)).lend()
    assert lent.credentials.access_key_id.startswith("ASIA")
    assert lent.credentials.session_token is not None
    assert lent.seconds is not None
    assert lent.seconds > TOKEN_SECONDS
    (tmp_path / "web-identity").unlink()
    with pytest.raises(NoCredentialsError):
        CredentialSource(KafkaSettings(), _session(tmp_path, moto, **profile)).lend()


def test_static_keys_never_end(tmp_path: Path) -> None:
    lent = CredentialSource(KafkaSettings(), _session(tmp_path, "http://127.0.0.1:1", **_KEYS)).lend()
    assert lent == Lent(AwsCredentials("AKIASTATIC", "s3cret-static", None), None)


def test_the_role_is_asked_for_with_name_and_external_id_in_the_region_of_sts(tmp_path: Path) -> None:
    chosen = KafkaSettings.model_validate({"iam_role_arn": ROLE, "iam_external_id": "s3cret-external"})
    with StsServer() as sts:
        CredentialSource(chosen, _session(tmp_path, sts.url, **_KEYS)).lend()
    [asked] = sts.asked
    assert asked["RoleArn"] == ROLE
    assert asked["RoleSessionName"] == "eventbus-gateway"
    assert asked["ExternalId"] == "s3cret-external"
    assert sts.regions == ["us-gov-west-1"]


def test_credentials_are_taken_again_before_they_end_and_tell_how_long_they_are_good(tmp_path: Path) -> None:
    with StsServer(lifetime=700) as sts:
        source = CredentialSource(KafkaSettings(iam_role_arn=ROLE), _session(tmp_path, sts.url, **_KEYS))
        first = source.lend()
        assert first.seconds is not None
        assert 600 < first.seconds <= 700
        assert lifetime(first.seconds) <= 640
        assert source.lend().credentials != first.credentials
        sts.lifetime = 3_600
        source.lend()
        asked = len(sts.asked)
        source.lend()
    assert len(sts.asked) == asked


def test_what_sts_refuses_is_told_by_its_code_alone(tmp_path: Path) -> None:
    with StsServer() as sts:
        sts.refusal = "AccessDenied"
        source = CredentialSource(KafkaSettings(iam_role_arn=ROLE), _session(tmp_path, sts.url, **_KEYS))
        with pytest.raises(NoCredentialsError, match=r"^AWS refused with AccessDenied$"):
            source.lend()
        sts.refusal = None
        assert source.lend().credentials.access_key_id.startswith("ASIAROLE")


def test_a_profile_that_is_not_there_is_told(tmp_path: Path) -> None:
    def open_session() -> botocore.session.Session:
        session = botocore.session.Session(profile="another")
        session.set_config_variable("config_file", str(tmp_path / "none"))
        session.set_config_variable("credentials_file", str(tmp_path / "none"))
        return session

    with pytest.raises(NoCredentialsError, match="ProfileNotFound"):
        CredentialSource(KafkaSettings(), open_session).lend()


_TOKEN = """
import json, os
from eventbus_gateway.config import load
from eventbus_gateway.kafka.msk_iam import msk_tokens
print(json.dumps(msk_tokens(load(None, os.environ).kafka)("")))
"""
_GATEWAY = {
    "EVENTBUS_KAFKA__BOOTSTRAP_SERVERS": "b-1.events.a1b2c3.c2.kafka.us-gov-west-1.amazonaws.com:9098",
    "EVENTBUS_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "EVENTBUS_KAFKA__SASL_MECHANISM": "AWS_MSK_IAM",
    "EVENTBUS_AUTH__MODE": "anonymous",
    "EVENTBUS_TOPIC_DEFAULTS__FORMAT": "json",
}


def _child(environ: dict[str, str], code: str = _TOKEN, *arguments: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "EVENTBUS_"))}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**inherited, "AWS_EC2_METADATA_DISABLED": "true", **_GATEWAY, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _signer(environ: dict[str, str]) -> str:
    done = _child(environ)
    assert done.returncode == 0, done.stderr
    assert "s3cret" not in done.stdout + done.stderr
    text, expires = json.loads(done.stdout)
    assert expires > 0
    return text if text == NO_TOKEN else parameters(text)["X-Amz-Credential"]


def test_the_default_chain_is_followed(moto: str, tmp_path: Path) -> None:
    none = {"AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none")}
    keys = {"AWS_ACCESS_KEY_ID": "AKIAENVIRONMENT", "AWS_SECRET_ACCESS_KEY": "s3cret-environment"}
    assert _signer({**none, **keys}).startswith("AKIAENVIRONMENT/")
    assert _signer({**none, **keys}).endswith("/us-gov-west-1/kafka-cluster/aws4_request")

    (tmp_path / "web-identity").write_text("s3cret-web-identity")
    irsa = {
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/irsa",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "web-identity"),
        "AWS_ENDPOINT_URL_STS": moto,
    }
    assert _signer({**none, **irsa}).startswith("ASIA")

    (tmp_path / "pod").write_text("s3cret-pod")
    with StsServer() as sts:
        pod = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{sts.url}/pod",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "pod"),
        }
        assert _signer({**none, **pod}).startswith("ASIAPOD/")
        assumed = {"EVENTBUS_KAFKA__IAM_ROLE_ARN": ROLE, "AWS_ENDPOINT_URL_STS": sts.url}
        assert _signer({**none, **pod, **assumed}).startswith("ASIAROLE1/")
    assert _signer(none) == NO_TOKEN


def test_without_the_extra_check_config_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['botocore'] = None; "
        "from eventbus_gateway.cli import main; sys.argv = ['eventbus', 'check-config']; main()"
    )
    done = _child({}, code)
    assert done.returncode != 0
    assert "kafka.sasl_mechanism: AWS_MSK_IAM needs botocore" in done.stdout + done.stderr
    assert "eventbus-gateway[aws]" in done.stdout + done.stderr
