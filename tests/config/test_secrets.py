"""Where secrets can come from, and what is said when they are not there."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from tests.config.values import SECRETS, as_environment, as_toml, every_key

from eventbus_gateway.config import Config, InvalidConfig, describe, load
from eventbus_gateway.config.entries import Entry, Source
from eventbus_gateway.config.keys import KEYS, Key, Path
from eventbus_gateway.config.secrets import MAX_SECRET_BYTES, read_secrets
from eventbus_gateway.section import Section

SECRET_KEYS = [key for key in KEYS if key.secret and key.path[-1] in SECRETS]
PASSWORD = ("kafka", "sasl_password")


def _value(config: Config, path: tuple[str, ...]) -> str:
    secret = getattr(getattr(config, path[0]), path[1])
    assert isinstance(secret, SecretStr)
    return secret.get_secret_value()


def _with(path: tuple[str, ...], value: str, **environ: str) -> Config:
    values = {other: kept for other, kept in every_key().items() if other[-1] != "bearer_token"}
    if path[-1] == "bearer_token":
        values = {other: kept for other, kept in values.items() if other[-1] not in {"username", "password"}}
    return load(None, {**as_environment({**values, path: value}), **environ})


def _faults(path: tuple[str, ...], value: str, **environ: str) -> list[tuple[str, str]]:
    with pytest.raises(InvalidConfig) as error:
        _with(path, value, **environ)
    return [(fault.key, fault.sentence) for fault in error.value.faults]


@pytest.mark.parametrize("key", SECRET_KEYS, ids=lambda key: ".".join(key.path))
def test_every_secret_can_be_a_reference_to_a_variable(key: Key) -> None:
    config = _with(key.path, "env:HELD_ELSEWHERE", HELD_ELSEWHERE=SECRETS[key.path[-1]] + "\n")
    assert _value(config, key.path) == SECRETS[key.path[-1]]


@pytest.mark.parametrize("key", SECRET_KEYS, ids=lambda key: ".".join(key.path))
def test_every_secret_can_be_a_reference_to_a_file(key: Key, tmp_path: pathlib.Path) -> None:
    (tmp_path / "held").write_bytes(SECRETS[key.path[-1]].encode() + b"\r\n")
    assert _value(_with(key.path, f"file:{tmp_path / 'held'}"), key.path) == SECRETS[key.path[-1]]


def test_a_reference_in_the_file_is_followed(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "eventbus.toml"
    file.write_text(as_toml({**every_key(), PASSWORD: "env:HELD"}))
    assert _value(load(file, {"HELD": "s3cret"}), PASSWORD) == "s3cret"


def test_a_value_in_the_environment_wins_over_a_reference_in_the_file(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "eventbus.toml"
    file.write_text(as_toml({**every_key(), PASSWORD: "env:NOT_THERE"}))
    assert _value(load(file, {"EVENTBUS_KAFKA__SASL_PASSWORD": "direct"}), PASSWORD) == "direct"


@pytest.mark.parametrize("held", ["env:OTHER", "file:/etc/passwd"])
def test_what_a_reference_names_is_taken_as_it_is(held: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "held").write_text(held)
    assert _value(_with(PASSWORD, "env:HELD", HELD=held, OTHER="x"), PASSWORD) == held
    assert _value(_with(PASSWORD, f"file:{tmp_path / 'held'}"), PASSWORD) == held
    values = {path: value for path, value in every_key().items() if path != PASSWORD}
    named = {**as_environment(values), "EVENTBUS_KAFKA__SASL_PASSWORD_FILE": str(tmp_path / "held")}
    assert _value(load(None, named), PASSWORD) == held


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (None, "is not set"),
        ("", "is empty"),
        ("\n", "is empty"),
        ("x" * (MAX_SECRET_BYTES + 1), "has more than 65536"),
    ],
)
def test_a_variable_that_cannot_be_used_is_one_fault_that_names_it(held: str | None, reason: str) -> None:
    [(key, sentence)] = _faults(PASSWORD, "env:HELD", **({} if held is None else {"HELD": held}))
    assert key == "kafka.sasl_password"
    assert sentence.startswith(f"the variable HELD {reason}")


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"s" * (MAX_SECRET_BYTES + 1), "has more than 65536 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_fault_that_names_it(
    held: bytes | None, reason: str, tmp_path: pathlib.Path
) -> None:
    place = tmp_path / "held"
    if held is not None:
        place.write_bytes(held)
    assert _faults(PASSWORD, f"file:{place}") == [("kafka.sasl_password", f"the file {place} {reason}")]


@pytest.mark.parametrize("reference", ["env:", "env:a b", "env:s3cret!", "env:1A", "env:" + "A" * 256])
def test_what_cannot_be_a_variable_is_a_fault_that_does_not_repeat_it(reference: str) -> None:
    assert _faults(PASSWORD, reference) == [("kafka.sasl_password", "must have the name of a variable after env:")]


def test_all_missing_secrets_are_listed_with_the_other_faults(tmp_path: pathlib.Path) -> None:
    values = {
        **every_key(),
        PASSWORD: "env:HELD",
        ("registry", "password"): f"file:{tmp_path}/held",
        ("http", "port"): 99_999,
    }
    with pytest.raises(InvalidConfig) as error:
        load(None, as_environment(values))
    assert {fault.key for fault in error.value.faults} == {"kafka.sasl_password", "registry.password", "http.port"}


def test_a_secret_that_is_not_there_and_whose_file_is_given_too_is_a_fault(tmp_path: pathlib.Path) -> None:
    (tmp_path / "held").write_text("s3cret")
    faults = _faults(PASSWORD, "env:HELD", HELD="s3cret", EVENTBUS_KAFKA__SASL_PASSWORD_FILE=str(tmp_path / "held"))
    assert faults == [("kafka.sasl_password_file", "is set beside kafka.sasl_password; set one of them")]


def test_the_description_shows_the_reference_and_not_what_it_names() -> None:
    text = describe(_with(PASSWORD, "env:HELD", HELD="s3cret-of-a-variable"))
    assert 'sasl_password = "********"  # EVENTBUS_KAFKA__SASL_PASSWORD: env:HELD\n' in text
    assert "s3cret" not in text


class _Issuer(Section):
    """An item with secrets."""

    name: str
    """Not a secret."""
    secret: SecretStr
    """Required."""
    token: SecretStr | None = None
    """Optional."""


class _Issuers(Section):
    """A section with such items."""

    issuers: tuple[_Issuer, ...] = ()
    """Several."""


ISSUERS = Key(("auth", "issuers"), _Issuers.model_fields["issuers"])


def _items(*items: dict[str, Any], **environ: str) -> tuple[Any, list[tuple[str, str]]]:
    entries: dict[Path, Entry] = {ISSUERS.path: Entry(items, Source("eventbus.toml", 0))}
    revealed = read_secrets(entries, environ, [ISSUERS])
    assert (revealed.unread == {ISSUERS.path}) == bool(revealed.faults)
    return revealed.entries[ISSUERS.path].value, [(fault.key, fault.sentence) for fault in revealed.faults]


def test_secrets_in_arrays_of_tables_are_read_in_the_same_ways(tmp_path: pathlib.Path) -> None:
    place = tmp_path / "held"
    place.write_text("of a file\n")
    items, faults = _items(
        {"name": "env:HELD", "secret": "env:HELD"},
        {"name": "b", "secret_file": str(place)},
        {"name": "c", "secret": f"file:{place}", "token": "plain"},
        HELD="of a variable",
    )
    assert not faults
    assert items == (
        {"name": "env:HELD", "secret": "of a variable"},
        {"name": "b", "secret": "of a file"},
        {"name": "c", "secret": "of a file", "token": "plain"},
    )


def test_every_secret_that_is_missing_in_an_array_of_tables_is_a_fault() -> None:
    _, faults = _items(
        {"secret": "env:HELD"},
        {"secret": "x", "token_file": "/no/where"},
        {"secret": "x", "secret_file": "/no/where"},
        {"secret_file": 3},
    )
    assert faults == [
        ("auth.issuers[0].secret", "the variable HELD is not set"),
        ("auth.issuers[1].token_file", "the file /no/where cannot be read: No such file or directory"),
        ("auth.issuers[2].secret_file", "is set beside secret; set one of them"),
        ("auth.issuers[3].secret_file", "must be a string"),
    ]


def _sections(section: type[Section]) -> Iterator[type[Section]]:
    yield section
    for field in section.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _sections(field.annotation)


def test_no_secret_of_the_configuration_is_out_of_reach_of_references() -> None:
    reached = sum(key.secret + len(key.item_secrets) for key in KEYS)
    items = [key.items for key in KEYS if key.items is not None]
    declared = [
        field
        for section in (*_sections(Config), *items)
        for field in section.model_fields.values()
        if "SecretStr" in str(field.annotation)
    ]
    assert len(declared) == reached > 0
