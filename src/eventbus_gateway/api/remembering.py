"""A connection that recognises heads which came before."""

from eventbus_gateway.api.heads import HEAD_END, MAX_LEARNING_BYTES, Head
from eventbus_gateway.api.http import Request
from eventbus_gateway.api.receiving import ReceivingConnection
from eventbus_gateway.api.routes import Match


class RememberingConnection(ReceivingConnection):
    """The part of a connection that goes past the parser where the parser's verdict is known.

    Only a data block that is one whole request goes that way, and only between requests, when the parser has nothing
    in hand: it is left as it was, ready for the next request.

    It is made like a ``TimedConnection``.
    """

    _block = _raw_head = b""  # the data block that a request began with, and what may be its head

    def data_received(self, data: bytes) -> None:
        if not self._receiving and not self._is_refusing:
            self._block = self._raw_head = b""
            end = data.find(HEAD_END)
            if end > 0:
                raw = data[: end + len(HEAD_END)]
                head = self._edge.heads.get(raw)
                if head is None:
                    if len(data) <= MAX_LEARNING_BYTES:
                        self._block, self._raw_head = data, raw
                elif len(raw) + head.content_length == len(data) and self._is_between_requests():
                    self._take_whole(head, data[len(raw) :])
                    return
        super().data_received(data)

    def _learn(self, request: Request, match: Match) -> None:
        """Remember a complete request's head if it and the body were the whole data block.

        Comparing the bodies makes sure that the parser saw the head's end in the same place.
        """
        raw, block = self._raw_head, self._block
        self._block = self._raw_head = b""
        length = len(request.body)
        if raw and request.headers.get(b"content-length") == b"%d" % length and request.body == block[len(raw) :]:
            head = Head(match, request.path, request.query, request.headers, request.repeated, length)
            self._edge.heads.learn(raw, head)

    def _is_between_requests(self) -> bool:
        raise NotImplementedError

    def _take_whole(self, head: Head, body: bytes) -> None:
        raise NotImplementedError
