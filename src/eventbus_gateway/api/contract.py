"""``GET /openapi.json`` and ``GET /docs``: what the gateway takes and gives, for programs and for people."""

import hashlib
from base64 import b64encode
from importlib.resources import files

import orjson

from eventbus_gateway.api.contract_page import page
from eventbus_gateway.api.http import JSON, Answer, Request
from eventbus_gateway.api.preconditions import is_known

_HTML = b"text/html; charset=utf-8"
# Asked again each time, since another version of the gateway may answer; then it mostly has nothing new.
_CACHE = (b"cache-control", b"no-cache")


class Contract:
    """Shows the contract; everything is made once.

    The page has no script and names no other host, and its policy lets nothing in but its own style.
    """

    def __init__(self) -> None:
        here = files("eventbus_gateway.api")
        text = here.joinpath("openapi.json").read_bytes()
        style = here.joinpath("contract.css").read_text("utf-8")
        policy = f"default-src 'none'; style-src 'sha256-{_hash(style)}'; base-uri 'none'; form-action 'none'"
        self._document = _answer(text, JSON)
        self._page = _answer(
            page(orjson.loads(text), style).encode(),
            _HTML,
            (b"content-security-policy", f"{policy}; frame-ancestors 'none'".encode()),
        )

    async def document(self, request: Request) -> Answer:
        """The contract as OpenAPI.

        Raises:
            InvalidHeader: a condition is malformed.
        """
        return _unless_known(request, self._document)

    async def page(self, request: Request) -> Answer:
        """The contract as a page.

        Raises:
            InvalidHeader: a condition is malformed.
        """
        return _unless_known(request, self._page)


def _answer(body: bytes, content_type: bytes, *headers: tuple[bytes, bytes]) -> Answer:
    tag = b'"%s"' % hashlib.sha256(body).hexdigest()[:32].encode()
    return Answer(200, body, content_type, ((b"etag", tag), _CACHE, *headers))


def _unless_known(request: Request, answer: Answer) -> Answer:
    _, tag = answer.headers[0]
    return Answer(304, b"", answer.content_type, answer.headers) if is_known(request, tag) else answer


def _hash(style: str) -> str:
    """What allows exactly this text (CSP level 3, section 2.3.1)."""
    return b64encode(hashlib.sha256(style.encode()).digest()).decode()
