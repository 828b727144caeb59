"""The common shape of every configuration section."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("must be a network such as 10.0.0.0/8 or fd00::/8, without bits behind its length") from None
    return text


Network = Annotated[str, AfterValidator(_network)]


class Section(BaseModel):
    """A frozen part of the configuration: unknown keys are faults, every field carries its description.

    Each part of the gateway declares its own section beside its code; only ``config`` puts them together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)
