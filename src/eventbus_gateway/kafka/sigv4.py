"""The token with which Amazon MSK knows an AWS identity: a presigned URL (AWS Signature Version 4)."""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

TOKEN_SECONDS = 900
"""The longest that MSK takes a token."""
_SERVICE = "kafka-cluster"
_ACTION = "kafka-cluster:Connect"
_NO_PAYLOAD = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """One set of AWS credentials.

    Args:
        access_key_id: which key it is; no secret, but it is not shown either.
        secret_access_key: the secret.
        session_token: what belongs to temporary credentials.
    """

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def msk_token(credentials: AwsCredentials, region: str, now: float, *, user_agent: str) -> str:
    """The text that MSK takes as an OAUTHBEARER token.

    It is the base64url form, without padding, of a request to connect that was signed but is never sent
    (AWS, "Authenticating Requests: Using Query Parameters"); MSK checks signature and age.

    Args:
        credentials: whose identity it is.
        region: of the cluster.
        now: Unix time in seconds, from which the token counts.
        user_agent: who asks, for people who read the broker's log; not signed.
    """
    host = f"kafka.{region}.amazonaws.com"
    moment = datetime.fromtimestamp(now, UTC)
    scope = f"{moment:%Y%m%d}/{region}/{_SERVICE}/aws4_request"
    parameters = {
        "Action": _ACTION,
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{credentials.access_key_id}/{scope}",
        "X-Amz-Date": f"{moment:%Y%m%dT%H%M%SZ}",
        "X-Amz-Expires": str(TOKEN_SECONDS),
        "X-Amz-SignedHeaders": "host",
    }
    if credentials.session_token is not None:
        parameters["X-Amz-Security-Token"] = credentials.session_token
    query = "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in sorted(parameters.items()))
    request = f"GET\n/\n{query}\nhost:{host}\n\nhost\n{_NO_PAYLOAD}"
    digest = hashlib.sha256(request.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{moment:%Y%m%dT%H%M%SZ}\n{scope}\n{digest}"
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in (*scope.split("/"), to_sign):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    url = f"https://{host}/?{query}&X-Amz-Signature={key.hex()}&User-Agent={_encoded(user_agent)}"
    return base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def _encoded(text: str) -> str:
    """Percent-encoded as AWS wants it: everything but unreserved characters (RFC 3986 section 2.3)."""
    return quote(text, safe="-_.~")
