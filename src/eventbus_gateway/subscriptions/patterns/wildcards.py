r"""Wildcards: ``*`` stands for any characters or none; ``\*`` and ``\\`` stand for themselves."""


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
