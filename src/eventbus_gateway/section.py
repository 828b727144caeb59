"""The common shape of every configuration section."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen part of the configuration: unknown keys are faults, every field carries its description.

    Each part of the gateway declares its own section beside its code; only ``config`` puts them together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)
