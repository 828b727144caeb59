"""What a rule over several keys says where it does not hold."""

from typing import NamedTuple

from pydantic import SecretStr


class Broken(NamedTuple):
    """A rule that does not hold.

    Args:
        key: dotted key that is to be changed.
        sentence: what is expected.
        involves: dotted keys whose values the rule has looked at, the one to be changed first.
    """

    key: str
    sentence: str
    involves: tuple[str, ...]


def broken(sentence: str, *involves: str) -> Broken:
    """A rule that blames the first of the keys that it has looked at."""
    return Broken(involves[0], sentence, involves)


def plain(secret: SecretStr | None) -> str | None:
    """A secret's text, None where there is no secret."""
    return None if secret is None else secret.get_secret_value()
