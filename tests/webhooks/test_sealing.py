"""Secrets at rest open only where they belong, and only with a key that is configured."""

import base64

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from tests.leaks import marked

from eventbus_gateway.webhooks.sealing import InvalidKeys, Opened, SealBroken, Sealer, parse_keys
from eventbus_gateway.webhooks.settings import WebhookSettings

OLD, NEW, FOREIGN = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))
for _key in (OLD, NEW, FOREIGN):
    marked(base64.b64encode(_key).decode(), "a key that seals secrets")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PLACE = ("01a1", "signing")
SEALER = Sealer([OLD])


def text_of(*keys: bytes) -> str:
    return " ".join(base64.b64encode(key).decode() for key in keys)


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.text(max_size=20), st.text(max_size=20))
@settings(max_examples=50)
def test_what_is_sealed_opens_at_its_place(secret: str, subscription: str, purpose: str) -> None:
    sealed = SEALER.seal(secret, subscription, purpose)
    assert SEALER.open(sealed, subscription, purpose) == Opened(secret, current=True)


def test_the_format_is_version_nonce_and_aes_gcm_in_url_safe_base64() -> None:
    sealed = Sealer([OLD], random=lambda size: b"n" * size).seal(SECRET, *PLACE)
    raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    assert raw[:13] == b"\1" + b"n" * 12
    assert AESGCM(OLD).decrypt(b"n" * 12, raw[13:], b"\0014:01a1signing") == SECRET.encode()
    assert len(sealed) == 90


def test_two_seals_of_one_secret_have_nothing_in_common_but_the_version() -> None:
    first, second = (SEALER.seal(SECRET, *PLACE) for _ in range(2))
    assert first[2:18] != second[2:18]
    assert first[18:] != second[18:]


@pytest.mark.parametrize(
    "place", [("01a2", "signing"), ("01a1", "header"), ("01a1s", "igning"), ("01a", "1signing"), ("", "01a1signing")]
)
def test_a_sealed_text_that_was_copied_elsewhere_does_not_open(place: tuple[str, str]) -> None:
    sealed = SEALER.seal(SECRET, *PLACE)
    with pytest.raises(SealBroken):
        SEALER.open(sealed, *place)


def test_a_changed_text_does_not_open_whatever_was_changed() -> None:
    sealed = SEALER.seal(SECRET, *PLACE)
    for at, character in enumerate(sealed):
        for other in {"A", "B", "-", "_", "=", "\n"} - {character}:
            with pytest.raises(SealBroken):
                SEALER.open(sealed[:at] + other + sealed[at + 1 :], *PLACE)


@given(
    st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
)
@settings(max_examples=100)
def test_whatever_was_not_sealed_does_not_open_and_says_no_more(text: str) -> None:
    with pytest.raises(SealBroken) as broken:
        SEALER.open(text, *PLACE)
    assert str(broken.value) == ""


@pytest.mark.parametrize("cut", [1, 2, 17, 70, 89])
def test_a_shortened_text_does_not_open(cut: int) -> None:
    with pytest.raises(SealBroken):
        SEALER.open(SEALER.seal(SECRET, *PLACE)[:-cut], *PLACE)


@pytest.mark.parametrize("size", range(29))
def test_a_text_that_is_too_short_for_anything_does_not_open(size: int) -> None:
    with pytest.raises(SealBroken):
        SEALER.open(base64.urlsafe_b64encode(b"\1" + bytes(size)).decode().rstrip("="), *PLACE)


def test_a_text_of_another_version_does_not_open() -> None:
    sealed = SEALER.seal(SECRET, *PLACE)
    raw = base64.urlsafe_b64decode(sealed + "==")
    with pytest.raises(SealBroken):
        SEALER.open(base64.urlsafe_b64encode(b"\2" + raw[1:]).decode().rstrip("="), *PLACE)


def test_a_foreign_key_opens_nothing() -> None:
    with pytest.raises(SealBroken):
        Sealer([FOREIGN, NEW]).open(SEALER.seal(SECRET, *PLACE), *PLACE)


def test_during_a_rotation_both_keys_open_and_the_new_one_seals() -> None:
    rotating = Sealer([NEW, OLD])
    assert rotating.open(SEALER.seal(SECRET, *PLACE), *PLACE) == Opened(SECRET, current=False)
    again = rotating.seal(SECRET, *PLACE)
    assert rotating.open(again, *PLACE) == Opened(SECRET, current=True)
    assert Sealer([NEW]).open(again, *PLACE) == Opened(SECRET, current=True)
    with pytest.raises(SealBroken):
        SEALER.open(again, *PLACE)


def test_no_representation_shows_a_secret_or_a_key() -> None:
    opened = SEALER.open(SEALER.seal(SECRET, *PLACE), *PLACE)
    section = WebhookSettings(secret_keys=SecretStr(text_of(OLD)))
    for shown in (repr(opened), repr(SEALER), repr(section), str(section)):
        assert SECRET not in shown
        assert text_of(OLD) not in shown
        assert repr(OLD) not in shown


def test_keys_are_read_in_their_order() -> None:
    assert parse_keys(text_of(NEW, OLD)) == (NEW, OLD)
    assert parse_keys(f" {text_of(NEW)}\n{text_of(OLD)}\n") == (NEW, OLD)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must be one to 8 keys"),
        ("  ", "must be one to 8 keys"),
        (text_of(OLD[:31]), "must be one to 8 keys"),
        (text_of(OLD + b"x"), "must be one to 8 keys"),
        (f"{text_of(NEW)},{text_of(OLD)}", "must be one to 8 keys"),
        (f"{text_of(NEW)} zzz", "must be one to 8 keys"),
        (OLD.hex(), "must be one to 8 keys"),
        (text_of(*(bytes([number]) + OLD[1:] for number in range(9))), "must be one to 8 keys"),
        (text_of(NEW, NEW), "has the same key twice"),
        (text_of(NEW, bytes(32)), "must be random"),
    ],
)
def test_what_is_no_list_of_keys_is_refused_without_being_quoted(text: str, sentence: str) -> None:
    with pytest.raises(InvalidKeys, match=sentence) as refused:
        parse_keys(text)
    assert not any(word in str(refused.value) for word in text.split())


@pytest.mark.parametrize("keys", [[], [OLD[:16]], [OLD, OLD]])
def test_a_sealer_takes_only_whole_and_different_keys(keys: list[bytes]) -> None:
    with pytest.raises(InvalidKeys):
        Sealer(keys)


def test_the_section_has_no_keys_by_default_and_takes_them_as_one_text() -> None:
    assert WebhookSettings().secret_keys is None
    section = WebhookSettings.model_validate({"secret_keys": text_of(NEW, OLD)}, strict=True)
    assert section.secret_keys is not None
    assert parse_keys(section.secret_keys.get_secret_value()) == (NEW, OLD)
    with pytest.raises(ValidationError) as refused:
        WebhookSettings.model_validate({"secret_key": text_of(NEW)})
    assert text_of(NEW) not in str(refused.value)
    assert all(field.description for field in WebhookSettings.model_fields.values())
