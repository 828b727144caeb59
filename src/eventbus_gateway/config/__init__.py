"""The whole configuration: one TOML file, every key overridable by an environment variable, validated at start.

``load`` reads it and lists every fault at once, ``describe`` shows what will be used. Only ``app`` and ``cli`` read
this package; each part of the gateway receives its own section.
"""

from eventbus_gateway.config.describing import describe
from eventbus_gateway.config.faults import ConfigFault, InvalidConfig
from eventbus_gateway.config.loading import load
from eventbus_gateway.config.model import Config

__all__ = ["Config", "ConfigFault", "InvalidConfig", "describe", "load"]
