"""``eventbus keys``: the API keys in Kafka."""

import json
import os
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from eventbus_gateway.api.audit import require_writable
from eventbus_gateway.api.settings import AuditSettings
from eventbus_gateway.auth.key_entries import Refused
from eventbus_gateway.auth.oidc.settings import is_reserved
from eventbus_gateway.auth.principal import ANONYMOUS
from eventbus_gateway.cli_config import CONFIG, load_or_exit
from eventbus_gateway.cli_operations import (
    NO_ANSWER,
    NOT_DONE,
    TIMEOUT,
    Tables,
    TableSource,
    carried_out,
    exit_status,
    fail,
    write_down,
)
from eventbus_gateway.config import Config
from eventbus_gateway.errors import GatewayError, OutcomeUnknown
from eventbus_gateway.identity.issuing import Held, Issued, KeyIssuer
from eventbus_gateway.identity.key_topic import key_table, key_topic

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_MAX_DAYS = 36_500
_KEYS = "keys"
_HEADINGS = ("ID", "PRINCIPAL", "ROLES", "CREATED", "EXPIRES", "STATE")


class _Change(NamedTuple):
    """What the audit is told of a command.

    Args:
        operation: what it does.
        subject: the principal, or the id of the key, that it was given.
    """

    operation: str
    subject: str


def _name(_: click.Context, parameter: click.Parameter, given: Any) -> Any:
    for name in given if isinstance(given, tuple) else (given,):
        if name is not None and not _NAME.fullmatch(name):
            raise click.BadParameter("1 to 64 letters, digits, '.', '_' or '-'.")
        if parameter.name == "principal" and name == ANONYMOUS.name:
            raise click.BadParameter("That is who calls without a credential.")
    return given


def _duration(_: click.Context, parameter: click.Parameter, given: str | None) -> float | None:
    if given is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", given)
    seconds = -1 if found is None else int(found[1]) * _SECONDS[found[2]]
    least = 1 if parameter.name == "lifetime" else 0
    if not least <= seconds <= _MAX_DAYS * _SECONDS["d"]:
        raise click.BadParameter(f"A number and s, m, h or d, such as 90d; {least}s to {_MAX_DAYS}d.")
    return float(seconds)


_PRINCIPAL = click.option("--principal", required=True, callback=_name, help="Whom the key stands for.")
_LIFETIME = click.option(
    "--expires-in",
    "lifetime",
    callback=_duration,
    help="How long the key is accepted, such as 90d; without it, for ever.",
)


@click.group()
def keys() -> None:
    """Create, list, rotate and revoke the API keys in Kafka (auth.key_table).

    All replicas follow within a second. The commands end with 0 when it is done, with 1 when it cannot be done as
    asked, with 2 for a broken configuration and with 3 when Kafka does not answer.
    """


@keys.command()
@CONFIG
@_PRINCIPAL
@click.option("--role", "roles", multiple=True, callback=_name, help="A role that the key gives; can be repeated.")
@_LIFETIME
@TIMEOUT
def create(path: Path | None, principal: str, roles: tuple[str, ...], lifetime: float | None, seconds: float) -> None:
    """Create a key and print it: to standard output, this once, and never again."""
    given = frozenset(roles)
    issued = _carried_out(
        path, seconds, lambda issuer: issuer.create(principal, given, lifetime), _Change("key.create", principal)
    )
    _show(issued, f"created for {principal}")


@keys.command()
@CONFIG
@_PRINCIPAL
@click.option(
    "--after",
    "grace",
    callback=_duration,
    default="7d",
    show_default=True,
    help="How long the oldest key is still accepted, such as 12h; 0s ends it now.",
)
@_LIFETIME
@TIMEOUT
def rotate(path: Path | None, principal: str, grace: float, lifetime: float | None, seconds: float) -> None:
    """Create a second key with the roles of the first, print it, and have the oldest one end after a while."""
    issued = _carried_out(
        path, seconds, lambda issuer: issuer.rotate(principal, grace, lifetime), _Change("key.rotate", principal)
    )
    _show(issued, f"created for {principal}, and its oldest key ends in {grace:g} s")


@keys.command()
@CONFIG
@click.argument("key_id", metavar="ID")
@TIMEOUT
def revoke(path: Path | None, key_id: str, seconds: float) -> None:
    """Revoke a key: no replica that reaches Kafka accepts it any more."""
    held = _carried_out(path, seconds, lambda issuer: issuer.revoke(key_id), _Change("key.revoke", key_id))
    click.echo(f"The key {held.key.id} of {held.principal} was revoked.", err=True)


@keys.command("list")
@CONFIG
@click.option("--principal", callback=_name, help="Only the keys of this one.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@TIMEOUT
def list_keys(path: Path | None, principal: str | None, as_json: bool, seconds: float) -> None:
    """List keys, and nothing that they could be found out from."""

    async def found(issuer: KeyIssuer) -> tuple[list[Held], list[str]]:
        return [held for held in issuer.held() if principal in {None, held.principal}], issuer.foreign()

    all_held, foreign = _carried_out(path, seconds, found)
    now = datetime.now(UTC).timestamp()
    rows = [_row(held, now) for held in all_held]
    if as_json:
        for held, row in zip(all_held, rows, strict=True):
            named = dict(zip(map(str.lower, _HEADINGS), row, strict=True))
            click.echo(json.dumps({**named, "roles": sorted(held.key.roles), "expires": _time(held.key.expires)}))
    else:
        widths = [max(map(len, column)) for column in zip(_HEADINGS, *rows, strict=True)]
        for row in (_HEADINGS, *rows):
            click.echo("  ".join(map(str.ljust, row, widths)).rstrip())
    for name in foreign:
        click.echo(f"The keys of {name} were written by a newer version, which has to list them.", err=True)


def _row(held: Held, now: float) -> tuple[str, ...]:
    key = held.key
    state = "live" if key.is_live(now) else "expired"
    roles = ",".join(sorted(key.roles)) or "-"
    return key.id, held.principal, roles, _time(key.created) or "-", _time(key.expires) or "-", state


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _show(issued: Issued, what: str) -> None:
    expires = _time(issued.stored.expires)
    until = "" if expires is None else f", expires {expires}"
    click.echo(f"The key {issued.stored.id} was {what}{until}. It is shown this once:", err=True)
    click.echo(issued.key.decode())


def _carried_out(
    path: Path | None,
    seconds: float,
    work: Callable[[KeyIssuer], Awaitable[T | Refused]],
    change: _Change | None = None,
) -> T:
    """Do something with the table of keys and write a change down; what keeps it from being done ends the process."""
    config = load_or_exit(path, os.environ)
    if not config.auth.uses_key_table:
        fail("auth.key_table is false, or auth.methods has no api_keys: no gateway would accept the keys", NOT_DONE)

    if change is not None:
        try:
            require_writable(config.audit)
        except ValueError as error:
            fail(str(error), NOT_DONE)

    def issue(tables: Tables) -> Awaitable[T | Refused]:
        return work(KeyIssuer(tables[_KEYS], reserved=lambda principal: is_reserved(principal, config.auth.oidc)))

    try:
        done = carried_out(config.kafka, seconds, {_KEYS: _source(config)}, issue)
    except OutcomeUnknown:
        _write_down(config.audit, change, "unknown", None)
        fail("Whether it was stored is not known: look with eventbus keys list", NO_ANSWER)
    except GatewayError as error:
        fail(error.detail, exit_status(error))
    if isinstance(done, Refused):
        fail(done.sentence, NOT_DONE)
    _write_down(config.audit, change, "done", done)
    return done


def _source(config: Config) -> TableSource:
    return TableSource(
        "The API keys",
        key_topic(config.subscriptions),
        lambda sink: key_table(config.auth, config.subscriptions, config.kafka, sink),
    )


def _write_down(settings: AuditSettings, change: _Change | None, outcome: str, done: object) -> None:
    if change is None:
        return
    resource = change.subject
    if isinstance(done, Issued):
        resource = f"{change.subject}/{done.stored.id}"
    elif isinstance(done, Held):
        resource = f"{done.principal}/{done.key.id}"
    write_down(settings, change.operation, f"keys/{resource}", outcome)
