"""What is wrong with a configuration."""

from typing import NamedTuple


class ConfigFault(NamedTuple):
    """One reason why a configuration cannot be used.

    Args:
        key: dotted key, or the name of the file or environment variable that is at fault.
        sentence: what is expected there; never the value that was found, which may be a secret.
        source: where the value came from, empty where nothing was set.
    """

    key: str
    sentence: str
    source: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.sentence}" + (f" ({self.source})" if self.source else "")


class InvalidConfig(ValueError):
    """The configuration cannot be used.

    Args:
        faults: everything that was found wrong with it.
    """

    def __init__(self, faults: tuple[ConfigFault, ...]) -> None:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n  ".join([f"the configuration has {count}:", *map(str, faults)]))
        self.faults = faults
