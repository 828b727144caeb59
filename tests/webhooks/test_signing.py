"""Signatures of webhooks as every receiver of Standard Webhooks expects them."""

import base64
import hmac
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
import standardwebhooks
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.leaks import marked

from eventbus_gateway.subscriptions.signing_secrets import fresh
from eventbus_gateway.webhooks.signing import InvalidSecret, Secret, Signer, Verdict, Verifier

# The example that the specification's own implementations test with.
TEXT = "whsec_" + marked("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "the signing secret of a webhook")
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1_614_265_330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
SECRET = Secret.parse(TEXT)
OTHER = Secret(bytes(range(32)))

IDS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="."), min_size=1, max_size=40)
KEYS = st.binary(min_size=24, max_size=64)


def verdict(
    headers: Mapping[str, str], body: bytes = BODY, secret: Secret = SECRET, now: float = TIMESTAMP, **options: float
) -> Verdict:
    return Verifier([secret], clock=lambda: now, **options).verify(headers, body)


def signed(**changed: str) -> dict[str, str]:
    """The headers of the example, with some of them changed."""
    headers = {"webhook-id": ID, "webhook-timestamp": str(TIMESTAMP), "webhook-signature": SIGNATURE}
    return {**headers, **{f"webhook-{name}": value for name, value in changed.items()}}


def test_the_published_example_is_signed_as_published() -> None:
    assert Signer([SECRET]).headers(ID, TIMESTAMP, BODY) == signed()


@given(KEYS, IDS, st.integers(0, 10**12), st.binary(max_size=3_000))
@settings(max_examples=100)
def test_a_signature_is_the_hmac_of_the_standard_library(key: bytes, name: str, timestamp: int, body: bytes) -> None:
    content = f"{name}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    assert Signer([Secret(key)]).sign(name, timestamp, body) == f"v1,{expected}"


def test_a_signer_signs_again_and_again() -> None:
    signer = Signer([SECRET])
    assert [signer.sign(ID, TIMESTAMP, BODY) for _ in range(3)] == [SIGNATURE] * 3


def test_while_a_secret_rotates_all_sign_and_the_newest_comes_first() -> None:
    signatures = Signer([OTHER, SECRET]).sign(ID, TIMESTAMP, BODY)
    assert signatures == f"{Signer([OTHER]).sign(ID, TIMESTAMP, BODY)} {SIGNATURE}"
    for secret in (OTHER, SECRET):
        assert verdict(signed(signature=signatures), secret=secret) is Verdict.VALID
    third = Secret(bytes(24))
    assert verdict(signed(signature=signatures), secret=third) is Verdict.WRONG_SIGNATURE


def test_a_receiver_with_several_secrets_takes_what_any_of_them_signed() -> None:
    verifier = Verifier([OTHER, SECRET], clock=lambda: TIMESTAMP)
    assert verifier.verify(signed(), BODY) is Verdict.VALID


@pytest.mark.parametrize("bad", ["", "a.b", "a b", "a\r\nb", "ä", "x" * 257])
def test_an_id_that_makes_the_signed_text_ambiguous_is_neither_signed_nor_accepted(bad: str) -> None:
    with pytest.raises(ValueError, match="without a dot"):
        Signer([SECRET]).sign(bad, TIMESTAMP, BODY)
    assert verdict(signed(id=bad)) in {Verdict.INVALID_ID, Verdict.MISSING_HEADER}


def test_what_was_signed_cannot_be_taken_apart_in_another_way() -> None:
    """The id ``1.2`` at time 3 with body ``x`` gives the same text as the id ``1`` at time 2 with body ``3.x``."""
    signature = Signer([SECRET]).sign("1", TIMESTAMP, b"7.x")
    moved = {"webhook-id": f"1.{TIMESTAMP}", "webhook-timestamp": "7", "webhook-signature": signature}
    assert verdict(moved, b"x", now=7) is Verdict.INVALID_ID


def test_a_time_before_1970_is_not_signed() -> None:
    with pytest.raises(ValueError, match="negative"):
        Signer([SECRET]).sign(ID, -1, BODY)


@pytest.mark.parametrize("kind", [Signer, Verifier])
def test_nothing_is_signed_or_verified_without_a_secret(kind: type[Signer] | type[Verifier]) -> None:
    with pytest.raises(ValueError, match="needs a secret"):
        kind([])


def test_a_changed_id_time_body_signature_or_secret_is_noticed() -> None:
    assert verdict(signed()) is Verdict.VALID
    assert verdict(signed(id=ID + "x")) is Verdict.WRONG_SIGNATURE
    assert verdict(signed(timestamp=str(TIMESTAMP + 1))) is Verdict.WRONG_SIGNATURE
    assert verdict(signed(), BODY + b" ") is Verdict.WRONG_SIGNATURE
    assert verdict(signed(signature=SIGNATURE.replace("g0", "g1"))) is Verdict.WRONG_SIGNATURE
    assert verdict(signed(), secret=OTHER) is Verdict.WRONG_SIGNATURE


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_or_empty_header_is_named(name: str) -> None:
    assert verdict({**signed(), name: ""}) is Verdict.MISSING_HEADER
    assert verdict({key: value for key, value in signed().items() if key != name}) is Verdict.MISSING_HEADER


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (301, Verdict.TOO_OLD),
        (300, Verdict.VALID),
        (-300, Verdict.VALID),
        (-301, Verdict.TOO_NEW),
        (300.5, Verdict.TOO_OLD),
    ],
)
def test_the_time_may_differ_by_five_minutes(age: float, expected: Verdict) -> None:
    assert verdict(signed(), now=TIMESTAMP + age) is expected


def test_the_tolerance_can_be_chosen() -> None:
    assert verdict(signed(), now=TIMESTAMP + 11, tolerance_seconds=10) is Verdict.TOO_OLD
    assert verdict(signed(), now=TIMESTAMP + 3_000, tolerance_seconds=3_600) is Verdict.VALID


@pytest.mark.parametrize("text", ["-1", "1e9", "nan", "inf", "1614265330.0", " 1614265330", "१२३", "9" * 400, "x"])
def test_a_time_that_is_no_plain_number_is_refused(text: str) -> None:
    assert verdict(signed(timestamp=text)) is Verdict.INVALID_TIMESTAMP


@pytest.mark.parametrize(
    "signatures",
    [
        f"v1a,AAAA {SIGNATURE}",
        f"{SIGNATURE} v2,whatever",
        f"v1,AAAA  {SIGNATURE}",
        f"nonsense {SIGNATURE} ,",
        f"v1,ünïcode\udc80 {SIGNATURE}",
    ],
)
def test_signatures_of_other_versions_and_secrets_are_passed_over(signatures: str) -> None:
    assert verdict(signed(signature=signatures)) is Verdict.VALID


@pytest.mark.parametrize(
    "signature",
    [
        "v1,",
        "v1",
        "v2," + SIGNATURE[3:],
        "V1," + SIGNATURE[3:],
        SIGNATURE[3:],
        SIGNATURE[:-1],
        SIGNATURE + "=",
        " ",
        ",",
    ],
)
def test_only_the_whole_signature_in_version_1_counts(signature: str) -> None:
    assert verdict(signed(signature=signature)) is Verdict.WRONG_SIGNATURE


@given(KEYS)
@settings(max_examples=50)
def test_a_secret_survives_being_written_and_read(key: bytes) -> None:
    text = "whsec_" + base64.b64encode(key).decode()
    assert Secret(key).reveal() == text
    assert Secret.parse(text) == Secret(key)
    assert hash(Secret.parse(text)) == hash(Secret(key))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        TEXT.removeprefix("whsec_"),
        "WHSEC_" + TEXT[6:],
        TEXT + "!",
        TEXT + "\n",
        " " + TEXT,
        TEXT + "AA",
        TEXT + "AA==AA==",
        "whsec_" + "ä" * 32,
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_" + base64.b64encode(bytes(25)).decode().rstrip("="),
        "whsec_" + base64.b64encode(bytes(25)).decode().replace("A==", "B=="),
        "whsec_" + base64.urlsafe_b64encode(b"\xff" * 24).decode(),
        "whsk_" + TEXT[6:],
    ],
)
def test_a_text_that_is_no_secret_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(InvalidSecret) as refused:
        Secret.parse(text)
    body = text.removeprefix("whsec_")
    assert not body.strip() or body not in str(refused.value)
    assert str(refused.value).startswith("must ")


@pytest.mark.parametrize("size", [24, 32, 64])
def test_secrets_of_24_to_64_bytes_are_taken(size: int) -> None:
    assert Secret.parse("whsec_" + base64.b64encode(b"k" * size).decode()) == Secret(b"k" * size)


def fresh_secret() -> Secret:
    made = fresh().secret
    assert made is not None
    return Secret.parse(made.get_secret_value())


def test_new_secrets_are_long_and_differ() -> None:
    new = {fresh_secret() for _ in range(50)}
    assert len(new) == 50
    assert {len(base64.b64decode(each.reveal()[6:])) for each in new} == {32}


def test_no_representation_shows_a_secret() -> None:
    key = base64.b64decode(TEXT[6:])
    for thing in (SECRET, [SECRET], Signer([SECRET]), Verifier([SECRET])):
        for shown in (repr(thing), str(thing), f"{thing}"):
            assert TEXT[6:] not in shown
            assert repr(key) not in shown
            assert key.hex() not in shown
    assert repr(SECRET) == "Secret(…)"
    assert SECRET != TEXT


def test_receivers_with_the_published_package_accept_what_is_signed_here() -> None:
    headers = Signer([OTHER, SECRET]).headers("evt_1", int(time.time()), '{"name": "Zoë"}'.encode())
    for secret in (OTHER, SECRET):
        receiver = standardwebhooks.Webhook(secret.reveal())
        assert receiver.verify('{"name": "Zoë"}'.encode(), headers) == {"name": "Zoë"}
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            receiver.verify(b'{"name": "Zoe"}', headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(fresh_secret().reveal()).verify(b"{}", headers)


def test_what_the_published_package_signs_is_accepted_here() -> None:
    body = '{"name": "Zoë"}'
    sender = standardwebhooks.Webhook(TEXT)
    signature = sender.sign(ID, datetime.fromtimestamp(TIMESTAMP, UTC), body)
    assert verdict(signed(signature=signature), body.encode()) is Verdict.VALID
    assert verdict(signed(signature=signature), body.encode() + b"\n") is Verdict.WRONG_SIGNATURE
