"""The configuration as commands take it."""

import sys
from collections.abc import Mapping
from pathlib import Path

import click

from eventbus_gateway.config import Config, InvalidConfig, load

CONFIG = click.option(
    "--config",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="EVENTBUS_CONFIG",
    help="TOML file; every key can also come from the environment.",
)

BROKEN = 2


def load_or_exit(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration; a broken one ends the process with everything that is wrong with it."""
    try:
        return load(path, environ)
    except InvalidConfig as error:
        click.echo(str(error), err=True)
        sys.exit(BROKEN)
