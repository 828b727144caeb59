r"""Wildcards: ``*`` stands for any characters or none; ``\*`` and ``\\`` stand for themselves."""

from collections.abc import Callable


def split(text: str) -> list[str]:
    """The literal pieces between the wildcards, unescaped; one piece if there is no wildcard.

    Raises:
        ValueError: two wildcards in a row, or a backslash before something else; the message says which.
    """
    pieces = [""]
    characters = iter(text)
    after_wildcard = False
    for character in characters:
        if character == "*":
            if after_wildcard:
                raise ValueError("two wildcards must not follow each other")
            pieces.append("")
        elif character == "\\":
            escaped = next(characters, "")
            if escaped not in ("*", "\\"):
                raise ValueError("a backslash must be followed by an asterisk or a backslash")
            pieces[-1] += escaped
        else:
            pieces[-1] += character
        after_wildcard = character == "*"
    return pieces


def test_for(pieces: list[str]) -> Callable[[object], bool]:
    """A test for strings that have the pieces in this order with anything between them.

    Taking each piece at the first place where it fits is always right, since what comes between may be anything: one
    pass over the string, without going back.

    Args:
        pieces: at least two.
    """
    first, *between, last = pieces
    shortest = sum(map(len, pieces))
    after_first, before_last = len(first), len(last)

    def test(value: object) -> bool:
        if not isinstance(value, str) or len(value) < shortest:
            return False
        if not (value.startswith(first) and value.endswith(last)):
            return False
        at, end = after_first, len(value) - before_last
        for piece in between:
            at = value.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    return test
