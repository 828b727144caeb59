"""What happens to every request, whichever server brought it."""

import logging
import time
import traceback
from http import HTTPStatus

import orjson

from eventbus_gateway.api.access_log import LineSink
from eventbus_gateway.api.audit import Audit
from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.problems import problem
from eventbus_gateway.api.rate_limit import rate_limit_fields
from eventbus_gateway.api.routes import Match, Router
from eventbus_gateway.auth.accounts import Account
from eventbus_gateway.auth.chain import Authenticate
from eventbus_gateway.auth.limits import Limits
from eventbus_gateway.auth.policy import Action, Policy
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.errors import AccessError, GatewayError, InternalError, InvalidHeader
from eventbus_gateway.subscriptions.instants import Timestamps
from eventbus_gateway.telemetry import Metrics

_logger = logging.getLogger(__name__)

# Headers whose repetition would leave open which of the values counts.
_SINGLE = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-type",
        b"idempotency-key",
        b"schema-version",
        b"x-api-key",
    }
)


_STATUS = {status.value: str(status.value) for status in HTTPStatus}

# Looked up once: members of an Enum are found by a slow path of their class.
_PUBLISH = Action.PUBLISH


class Gateway:
    """Answers requests: finds the route, lets the caller in, runs the handler, turns errors into problems.

    Args:
        router: the route table.
        authenticate: establishes who calls.
        policy: what callers may do.
        metrics: where requests are counted.
        access_log: takes one line per request; None for none.
        limits: what callers may use; None for whatever they like.
        audit: told who changed what, and who was refused; None for nobody.
    """

    def __init__(
        self,
        router: Router,
        authenticate: Authenticate,
        policy: Policy,
        metrics: Metrics,
        access_log: LineSink | None = None,
        limits: Limits | None = None,
        audit: Audit | None = None,
    ) -> None:
        self.router = router
        self._authenticate = authenticate
        self._single = _SINGLE | authenticate.credentials
        self._policy = policy
        self._metrics = metrics
        self._access_log = access_log
        self._limits = limits
        self._audit = audit
        self._timestamps = Timestamps()

    async def handle(self, request: Request, match: Match | None = None) -> Answer:
        """The answer to a request; never raises.

        Args:
            request: head and whole body.
            match: the route, where the server found it already.
        """
        started = time.perf_counter()
        try:
            if match is None:
                match = self.router.match(request.method, request.path)
            request.params = match.params
            if request.repeated:
                self._refuse_repeated(request.repeated)
            access = match.route.access
            if isinstance(access, Action):
                caller = self._authenticate(request.headers, request.peer)
                request.principal = caller if isinstance(caller, Principal) else await caller
                self._let_in(request, access)
            answer = await match.route.handler(request)
        except GatewayError as error:
            answer = self._refused(request, match, error)
        except Exception as error:  # noqa: BLE001 - the rim of a request: whatever fails in it must not end the connection
            internal = failure(error, request.request_id)
            answer = problem(internal, request.path, _outcome(internal, match))
        finally:
            # Also when the server gives up waiting for it: what is not given back is lost to everybody.
            if request.stay is not None:
                request.stay.end()
        account = request.account
        if account is not None and account.buckets:
            answer = _accounted(account, answer)
        if self._audit is not None and match is not None and match.route.audit is not None:
            self._audit.managed(request, match.route, answer)
        self.finish(request, answer, match.route.template if match is not None else "unmatched", started)
        return answer

    def refuse(self, request: Request, error: GatewayError) -> Answer:
        """The answer to a request that the server itself had to refuse."""
        try:
            match = self.router.match(request.method, request.path)
        except GatewayError:
            match = None
        answer = problem(error, request.path, _outcome(error, match))
        self.finish(request, answer, "refused", time.perf_counter())
        return answer

    def finish(self, request: Request, answer: Answer, route: str, started: float) -> None:
        """Count and log a request."""
        seconds = time.perf_counter() - started
        metrics = self._metrics
        metrics.requests.add((request.method, route, _STATUS[answer[0]]))
        metrics.request_seconds.observe(seconds)
        if self._access_log is not None:
            self._access_log.write(self._line(request, answer, route, seconds))

    def _line(self, request: Request, answer: Answer, route: str, seconds: float) -> bytes:
        line = {
            "timestamp": self._timestamps(time.time_ns() // 1_000_000),
            "level": "info",
            "message": "request",
            "request_id": request.request_id,
            "method": request.method,
            "route": route,
            "topic": request.params.get("topic"),
            "principal": request.principal.name or None,
            "status": answer.status,
            "duration_ms": seconds * 1_000,
            "bytes_in": len(request.body),
            "bytes_out": len(answer.body),
        }
        if request.log_fields is not None:
            line |= request.log_fields
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)

    def _let_in(self, request: Request, action: Action) -> None:
        """Keep to what a caller may use and do."""
        request.authenticate, request.action = self._authenticate, action
        if self._limits is not None:
            request.account = self._limits.account(request.principal)
            request.stay = request.account.enter(len(request.body))
        topic = request.params.get("topic")
        if topic is not None:
            self._policy.require(request.principal, action, topic)

    def _refused(self, request: Request, match: Match | None, error: GatewayError) -> Answer:
        if self._audit is not None and match is not None and isinstance(error, AccessError):
            self._audit.refused(request, match.route, error)
        return problem(error, request.path, _outcome(error, match))

    def _refuse_repeated(self, names: frozenset[bytes]) -> None:
        for name in names:
            if name in self._single or name.startswith(b"ce-"):
                raise InvalidHeader(f"The header {name.decode('latin-1')} came more than once.")


def _accounted(account: Account, answer: Answer) -> Answer:
    """An answer that counts for its caller, and tells one that has used much of a limit what is left."""
    account.spend(len(answer[1]))
    for bucket in account.buckets:
        if bucket.tokens < bucket.burst / 2:
            status, body, content_type, headers, stream = answer
            return Answer(status, body, content_type, headers + rate_limit_fields(account), stream)
    return answer


def _outcome(error: GatewayError, match: Match | None) -> str | None:
    """Errors raised on the way to Kafka stored nothing; of a failure inside the gateway nobody knows."""
    if match is None or match.route.access is not _PUBLISH:
        return None
    return "unknown" if isinstance(error, InternalError) else "not_stored"


def failure(error: BaseException, request_id: str) -> InternalError:
    """Log an exception that nobody expected, and what to tell the caller about it."""
    # The exception's text can hold a payload, so only its type and its place are told.
    places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    _logger.error("request %s failed with %s at %s", request_id, type(error).__name__, " < ".join(reversed(places)))
    return InternalError("The gateway failed; the request id finds the reason in its log.")
