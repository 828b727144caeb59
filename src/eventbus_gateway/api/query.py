"""Query parameters, each of which is known or refused."""

from urllib.parse import parse_qsl

from eventbus_gateway.errors import InvalidParameter

_MAX_PARAMETERS = 32


def parameters(query: bytes, names: frozenset[str]) -> dict[str, str]:
    """Parameters by name, each of which comes once at most.

    Args:
        query: raw query string.
        names: those that the route has.

    Raises:
        InvalidParameter: another parameter, one that came twice, or no query string at all.
    """
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except ValueError:  # covers UnicodeDecodeError
        raise InvalidParameter("The query string is not valid.") from None
    found = dict(pairs)
    if not names.issuperset(found):
        raise InvalidParameter(f"The query parameters here are {', '.join(sorted(names))}.")
    if len(found) < len(pairs):
        raise InvalidParameter("A query parameter came more than once.")
    return found


def flag(query: bytes, name: str) -> bool:
    """The one boolean parameter that a route has.

    Args:
        query: raw query string.
        name: the parameter.

    Raises:
        InvalidParameter: another parameter, or a value other than ``true`` and ``false``.
    """
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:  # covers UnicodeDecodeError
        raise InvalidParameter("The query string is not valid.") from None
    if any(key != name for key, _ in pairs):
        raise InvalidParameter(f"The only query parameter here is {name}.")
    values = {value for _, value in pairs}
    if not values <= {"true", "false"} or len(values) > 1:
        raise InvalidParameter(f"{name} is true or false.")
    return "true" in values
