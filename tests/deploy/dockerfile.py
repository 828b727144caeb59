"""A Dockerfile taken apart: what each stage does, in its order."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Step(NamedTuple):
    """One instruction.

    Args:
        stage: number of its stage, from 0.
        name: the instruction in capitals.
        text: what follows, in one line.
    """

    stage: int
    name: str
    text: str

    @property
    def argv(self) -> list[str]:
        """The words of an instruction in exec form.

        Raises:
            ValueError: it is in shell form.
        """
        words = json.loads(self.text)
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError(self.text)
        return words


def steps(file: Path) -> Iterator[Step]:
    """All instructions from the first ``FROM`` on."""
    lines = (line for line in file.read_text().splitlines() if not line.lstrip().startswith("#"))
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    stage = -1
    for line in filter(None, whole.splitlines()):
        name, text = line.split(maxsplit=1)
        stage += name == "FROM"
        if stage >= 0:
            yield Step(stage, name, text)
