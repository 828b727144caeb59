"""Tests of strings that take no notice of upper and lower case.

Each character stands for itself, its lower case and its upper case, one character at a time and without a locale: no
folding across characters that merely look alike, such as the Kelvin sign and "k".
"""

import re
from collections.abc import Callable

Test = Callable[[object], bool]


def equal_to(text: str) -> Test:
    """A test for strings that are the text but for case."""
    if not text.isascii():
        return _on_strings(re.compile(_either_case(text)).fullmatch)
    lower = text.lower()

    # The lower case of a string outside ASCII can be inside it (that of the Kelvin sign is "k").
    def test(value: object) -> bool:
        return isinstance(value, str) and value.isascii() and value.lower() == lower

    return test


def starting_with(text: str) -> Test:
    """A test for strings that start with the text but for case."""
    if not text.isascii():
        return _on_strings(re.compile(_either_case(text)).match)
    lower, length = text.lower(), len(text)

    def test(value: object) -> bool:
        if not isinstance(value, str):
            return False
        start = value[:length]
        return start.isascii() and start.lower() == lower

    return test


def ending_with(text: str) -> Test:
    """A test for strings that end with the text but for case."""
    if not text.isascii():
        # Backwards: the text can match different lengths, and looking for it from the front would try every start.
        match = re.compile(_either_case(text, backwards=True)).match
        return _on_strings(lambda value: match(value[::-1]))
    lower, length = text.lower(), len(text)

    def test(value: object) -> bool:
        if not isinstance(value, str) or len(value) < length:
            return False
        end = value[len(value) - length :]
        return end.isascii() and end.lower() == lower

    return test


def spellings(character: str) -> list[str]:
    """The forms of one character; none is the start or the end of another, so that no choice is ever undone."""
    return list(dict.fromkeys((character, character.lower(), character.upper())))


def _either_case(text: str, *, backwards: bool = False) -> str:
    step = -1 if backwards else 1
    return "".join(
        f"(?:{'|'.join(re.escape(form[::step]) for form in spellings(character))})" for character in text[::step]
    )


def _on_strings(match: Callable[[str], re.Match[str] | None]) -> Test:
    return lambda value: isinstance(value, str) and match(value) is not None
