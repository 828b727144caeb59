"""The gateway as an ASGI application."""

from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from eventbus_gateway.api.admission import Admission
from eventbus_gateway.api.body import BATCH_MEDIA, Media
from eventbus_gateway.api.framing import repeated_names
from eventbus_gateway.api.gateway import Gateway, failure
from eventbus_gateway.api.headers import asgi_headers, usable_request_id
from eventbus_gateway.api.http import Answer, Request, Stream
from eventbus_gateway.api.ids import IdSource
from eventbus_gateway.api.problems import problem
from eventbus_gateway.api.settings import PublishSettings
from eventbus_gateway.errors import BodyTooLarge, GatewayError, NotAcceptable

_EVENT_MEDIA = Media.EVENT.media_type.encode()

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class ClientDisconnected(Exception):
    """The caller went away before its body was complete."""


def body_limit(content_type: bytes | None, settings: PublishSettings) -> int:
    """Bytes that a body may have on the wire, which its media type decides."""
    if content_type is None or content_type == _EVENT_MEDIA:
        return settings.max_event_bytes
    is_batch = content_type.partition(b";")[0].strip().lower() in BATCH_MEDIA
    return settings.max_batch_bytes if is_batch else settings.max_event_bytes


def too_large(limit: int) -> BodyTooLarge:
    """The error for a body beyond its limit."""
    return BodyTooLarge(f"The body may have {limit} bytes.")


class AsgiAdapter:
    """Carries requests from any ASGI server to the gateway.

    Args:
        gateway: answers them.
        admission: bounds how many are in work.
        settings: bounds on bodies.
        ids: makes request ids.
    """

    def __init__(self, gateway: Gateway, admission: Admission, settings: PublishSettings, ids: IdSource) -> None:
        self._gateway = gateway
        self._admission = admission
        self._settings = settings
        self._ids = ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"The gateway does not speak {scope['type']}.")
        request = self._head(scope)
        try:
            answer = await self._answer(request, receive)
        except ClientDisconnected:
            return
        await self._send(scope, send, request, answer)

    def _head(self, scope: Scope) -> Request:
        pairs: list[tuple[bytes, bytes]] = scope["headers"]
        headers = dict(pairs)
        request = Request(
            scope["method"],
            scope["path"],
            scope["query_string"],
            headers,
            b"",
            usable_request_id(headers.get(b"x-request-id")) or self._ids(),
            repeated_names(pairs) if len(headers) != len(pairs) else frozenset(),
        )
        client = scope.get("client")
        request.peer = client[0] if client else ""
        return request

    async def _answer(self, request: Request, receive: Receive) -> Answer:
        admission = self._admission
        try:
            admission.enter()
        except GatewayError as error:
            return self._gateway.refuse(request, error)
        held = 0
        try:
            chunks: list[bytes] = []
            limit = body_limit(request.headers.get(b"content-type"), self._settings)
            if declared_length(request.headers) > limit:
                raise too_large(limit)
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnected
                chunk: bytes = message.get("body", b"")
                more = message.get("more_body", False)
                if held + len(chunk) > limit:
                    raise too_large(limit)
                admission.hold(len(chunk))
                held += len(chunk)
                chunks.append(chunk)
            request.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            request.gone = partial(_gone, receive)
            return await self._gateway.handle(request)
        except GatewayError as error:
            # The server reads and drops what is left of the body.
            return self._gateway.refuse(request, error)
        finally:
            admission.leave(held)

    async def _send(self, scope: Scope, send: Send, request: Request, answer: Answer) -> None:
        headers = asgi_headers(answer, request.request_id)
        if answer.stream is not None and scope["http_version"] == "1.0":
            # RFC 9112 section 6.1: it knows no chunks, and an end of the connection looks like the end of the stream.
            answer.stream.close()
            answer = problem(NotAcceptable("Streams need HTTP/1.1."), request.path)
            headers = asgi_headers(answer, request.request_id)
        if answer.stream is not None:
            await self._send_stream(scope, send, request, answer, answer.stream)
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        body = answer.body if scope["method"] != "HEAD" else b""
        await send({"type": "http.response.body", "body": body})

    async def _send_stream(self, scope: Scope, send: Send, request: Request, answer: Answer, stream: Stream) -> None:
        headers = [pair for pair in asgi_headers(answer, request.request_id) if pair[0] != b"content-length"]
        try:
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            if scope["method"] != "HEAD":
                async for part in stream:
                    # Returns once the caller has room for more; the connection ends one that makes none for long.
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except Exception as error:  # noqa: BLE001 - the rim of a request: the connection ends without the last chunk
            failure(error, request.request_id)
        finally:
            stream.close()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def declared_length(headers: dict[bytes, bytes]) -> int:
    """The body's length as the head declares it, 0 where it does not."""
    value = headers.get(b"content-length", b"0")
    return int(value) if value.isdigit() and len(value) < 20 else 0
