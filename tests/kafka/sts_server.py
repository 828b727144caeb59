"""An STS that records what it is asked and answers as it is told; what moto does not show."""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

POD_TOKEN = "s3cret-pod"
"""What a caller of ``/pod`` has to show."""
_ANSWER = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s3cret-{key}</SecretAccessKey>
<SessionToken>s3cret-session-{key}</SessionToken><Expiration>{expiration}</Expiration></Credentials>
<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/gateway/x</Arn>
<AssumedRoleId>AROAEXAMPLE:x</AssumedRoleId></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>"""
_REFUSAL = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>{code}</Code><Message>s3cret text</Message></Error></ErrorResponse>"""


class StsServer:
    """Also answers as the Pod Identity agent does, below ``/pod``.

    Args:
        lifetime: how long the credentials are good that it gives, in seconds.
    """

    def __init__(self, lifetime: float = 3_600.0) -> None:
        self.lifetime = lifetime
        self.refusal: str | None = None
        self.asked: list[dict[str, str]] = []
        self.regions: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                outer.asked.append({name: values[0] for name, values in parse_qs(body).items()})
                outer.regions.append(self.headers["authorization"].split("/")[2])
                if outer.refusal is not None:
                    self._answer(403, _REFUSAL.format(code=outer.refusal), "text/xml")
                    return
                key = f"ASIAROLE{len(outer.asked)}"
                self._answer(200, _ANSWER.format(key=key, expiration=outer.expiration()), "text/xml")

            def do_GET(self) -> None:
                if self.path != "/pod" or self.headers["authorization"] != POD_TOKEN:
                    self._answer(401, "", "text/plain")
                    return
                found = {"AccessKeyId": "ASIAPOD", "SecretAccessKey": "s3cret-pod-key", "Token": "s3cret-pod-session"}
                self._answer(200, json.dumps({**found, "Expiration": outer.expiration()}), "application/json")

            def log_message(self, *_: Any) -> None:
                pass

            def _answer(self, status: int, text: str, kind: str) -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def expiration(self) -> str:
        """When credentials end that are given now."""
        return (datetime.now(UTC) + timedelta(seconds=self.lifetime)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
