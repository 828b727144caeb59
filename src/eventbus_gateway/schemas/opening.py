"""The schema registry that the configuration names."""

import importlib

from eventbus_gateway.schemas.absent import AbsentRegistry
from eventbus_gateway.schemas.confluent import ConfluentRegistry
from eventbus_gateway.schemas.folder import FolderRegistry
from eventbus_gateway.schemas.registry import Registry
from eventbus_gateway.schemas.settings import RegistrySettings


def registry(settings: RegistrySettings) -> Registry:
    """The schema registry as configured.

    Raises:
        ValueError: its address, its certificates or its region cannot be used, or what it needs is not installed.
    """
    if settings.kind == "folder":
        return FolderRegistry(settings.folder)
    if settings.kind == "glue":
        return _glue(settings)
    if not settings.url:
        return AbsentRegistry()  # the configuration allows this only where no topic needs a schema
    return ConfluentRegistry(settings)


def _glue(settings: RegistrySettings) -> Registry:
    """AWS's library is optional, and takes its time and 20 MB: it is imported where it is needed."""
    try:
        glue = importlib.import_module("eventbus_gateway.schemas.glue")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "botocore":
            raise
        sentence = 'registry.kind glue needs the extra "aws": install eventbus-gateway[aws]'
        raise ValueError(sentence) from None
    opened: Registry = glue.GlueRegistry(settings)
    return opened
