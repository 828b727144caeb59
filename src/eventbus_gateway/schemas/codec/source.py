"""Python text under construction, with the objects that it refers to."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """Where code is written.

    Args:
        indent: level of indentation.
        levels: arrays, maps and records entered since the function began.
    """

    indent: int = 1
    levels: int = 0

    def inside(self, indents: int = 1, levels: int = 0) -> "Place":
        """Where what belongs to a statement there is written.

        Args:
            indents: how much further in it stands.
            levels: how many more arrays, maps and records have been entered.
        """
        return Place(self.indent + indents, self.levels + levels)

    @property
    def depth(self) -> str:
        """The expression for how deep a value is nested there."""
        return f"d + {self.levels}" if self.levels else "d"


class Source:
    """Functions that are compiled together and share their constants.

    Nothing from a schema becomes program text but through ``repr`` of a checked name or as a bound object.

    Args:
        bound: what the text refers to by a fixed name.
    """

    def __init__(self, bound: dict[str, Any]) -> None:
        self._bound = dict(bound)
        self._lines: list[str] = []
        self._constants: dict[bytes, str] = {}
        self._last = 0

    def line(self, indent: int, text: str) -> None:
        """Append one line at a level of indentation."""
        self._lines.append(" " * indent + text)

    def fresh(self, stem: str) -> str:
        """A name that is used nowhere else."""
        self._last += 1
        return f"{stem}{self._last}"

    def bind(self, stem: str, value: object) -> str:
        """A name for an object."""
        name = self.fresh(stem)
        self._bound[name] = value
        return name

    def constant(self, value: bytes) -> str:
        """A name for bytes; the same one for the same bytes."""
        name = self._constants.get(value)
        if name is None:
            name = self._constants[value] = self.bind("K", value)
        return name

    def is_constant(self, name: str) -> bool:
        """Whether a name stands for bytes given to ``constant``."""
        return name.startswith("K")

    def compiled(self) -> dict[str, Any]:
        """Compile everything; gives the namespace with the functions."""
        exec(compile("\n".join(self._lines), "<schema>", "exec"), self._bound)  # noqa: S102 - see the class
        return self._bound

    def table(self) -> tuple[str, list[Callable[..., Any]]]:
        """A bound list that is filled with functions after compiling."""
        functions: list[Callable[..., Any]] = []
        return self.bind("T", functions), functions


def joined(parts: Iterable[str]) -> str:
    """The expression for several bytes in a row."""
    names = list(parts)
    if not names:
        return 'b""'
    return names[0] if len(names) == 1 else f"join(({', '.join(names)}))"
