"""As much of HTTP as the loads of consumers have to speak."""

_END = b"\r\n\r\n"


def complete_size(data: bytes) -> int:
    """Bytes of an answer with ``Content-Length``; 0 while its headers are incomplete.

    Args:
        data: what came so far.

    Raises:
        RuntimeError: the answer does not say how long it is.
    """
    end = data.find(_END)
    if end < 0:
        return 0
    head = data[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        raise RuntimeError("the answer has no Content-Length")
    return end + len(_END) + int(head[at + 17 :].split(b"\r\n", 1)[0])


def body_of(answer: bytes) -> bytes:
    """The body of a complete answer."""
    return answer[answer.index(_END) + len(_END) :]


def post(path: str, body: bytes) -> bytes:
    """A whole request with a JSON body."""
    head = (
        f"POST {path} HTTP/1.1\r\n"
        "host: gateway.example\r\n"
        "user-agent: loadtests\r\n"
        "accept: application/json\r\n"
        "content-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
