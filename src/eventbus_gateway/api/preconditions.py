"""Conditions on a resource's version (RFC 9110 section 13) and the entity tags that they are made of."""

import re
from collections.abc import Callable

from eventbus_gateway.api.http import Request
from eventbus_gateway.errors import InvalidHeader

Precondition = Callable[[int | None], bool]

_IF_MATCH = b"if-match"
_IF_NONE_MATCH = b"if-none-match"
_ANY = b"*"
_MAX_TAGS = 32
# RFC 9110 section 8.8.3.
_TAG = re.compile(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
# A comma can be within a tag, so that it alone does not tell where one ends.
_LIST = re.compile(rb"%b(?:[ \t]*,[ \t]*%b)*" % (_TAG.pattern, _TAG.pattern))


def etag(version: int) -> bytes:
    """The strong entity tag of a version."""
    return b'"%d"' % version


def precondition(request: Request) -> Precondition:
    """What must hold for the version that there is, None standing for no resource.

    Raises:
        InvalidHeader: a condition is malformed.
    """
    match, none_match = _tags(request, _IF_MATCH), _tags(request, _IF_NONE_MATCH)

    def holds(version: int | None) -> bool:
        return (match is None or _matches(match, version, strongly=True)) and not (
            none_match is not None and _matches(none_match, version, strongly=False)
        )

    return holds


def is_known(request: Request, tag: bytes) -> bool:
    """Whether the caller has what has this tag already, so that 304 says it all (RFC 9110 section 13.1.2).

    Raises:
        InvalidHeader: the condition is malformed.
    """
    tags = _tags(request, _IF_NONE_MATCH)
    return tags is not None and (tags == [_ANY] or tag in tags or b"W/" + tag in tags)


def _matches(tags: list[bytes], version: int | None, *, strongly: bool) -> bool:
    """RFC 9110 sections 13.1.1 and 13.1.2: ``If-Match`` compares strongly, ``If-None-Match`` weakly."""
    if version is None:
        return False
    tag = etag(version)
    return tags == [_ANY] or tag in tags or (not strongly and b"W/" + tag in tags)


def _tags(request: Request, name: bytes) -> list[bytes] | None:
    """The entity tags in a header, None where it did not come."""
    value = request.headers.get(name)
    if value is None:
        return None
    if name in request.repeated:
        raise InvalidHeader(f"The header {name.decode()} came more than once.")
    value = value.strip(b" \t")
    if value == _ANY:
        return [_ANY]
    tags = _TAG.findall(value)
    if len(tags) > _MAX_TAGS or _LIST.fullmatch(value) is None:
        raise InvalidHeader(f'{name.decode()} is * or a list of entity tags such as "12", as ETag gives them.')
    return tags
