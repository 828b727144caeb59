"""Query parameters, each of which is known or refused."""

from urllib.parse import parse_qsl

from eventbus_gateway.errors import InvalidParameter

_MAX_PARAMETERS = 32


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
