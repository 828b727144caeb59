"""Who changed what, and who was refused: one JSON line each, without payloads and secrets."""

import os
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import orjson

from eventbus_gateway.api.access_log import AccessLog, LineSink
from eventbus_gateway.api.http import Answer, Request
from eventbus_gateway.api.problems import status_of
from eventbus_gateway.api.routes import Route
from eventbus_gateway.api.settings import AuditSettings
from eventbus_gateway.auth.principal import Principal
from eventbus_gateway.errors import AccessError
from eventbus_gateway.subscriptions.instants import timestamp
from eventbus_gateway.telemetry import Metrics

# Callers choose what they ask for.
_MAX_RESOURCE = 512
# Behind these nobody knows whether something was done.
_UNKNOWN = frozenset({500, 504})
_CREATED = 201


class Audited(NamedTuple):
    """One line of the audit.

    Args:
        operation: what was asked for, such as ``subscription.seek`` or ``key.revoke``.
        resource: what it was done to, or would have been.
        outcome: ``done``, ``refused``, or ``unknown`` where it may have been done.
        principal: who asked; None where that was not established.
        action: what the policy calls it; None where no policy was asked.
        roles: the principal's.
        status: HTTP status of the answer; None where there was no request.
        code: code of the error; None where there was none.
        request_id: of the request.
        peer: address at the other end of its connection.
    """

    operation: str
    resource: str
    outcome: str
    principal: str | None = None
    action: str | None = None
    roles: tuple[str, ...] = ()
    status: int | None = None
    code: str | None = None
    request_id: str | None = None
    peer: str | None = None


def audit_line(audited: Audited, now: float) -> bytes:
    """The line, newline included.

    Args:
        audited: what it says.
        now: seconds since the epoch.
    """
    document = {"timestamp": timestamp(int(now * 1_000)), "level": "info", "message": "audit", **audited._asdict()}
    document["resource"] = audited.resource[:_MAX_RESOURCE]
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


class Audit:
    """Writes down what is done to what callers manage, and whom access was refused.

    Args:
        sink: takes the lines.
        now: seconds since the epoch.
    """

    def __init__(self, sink: LineSink, now: Callable[[], float] = time.time) -> None:
        self._sink = sink
        self._now = now

    def managed(self, request: Request, route: Route, answer: Answer) -> None:
        """Write down what came of a request to a route that changes something; nothing where nothing changed."""
        status = answer.status
        if status >= 300 and status not in _UNKNOWN:
            return
        outcome = "unknown" if status in _UNKNOWN else "done"
        done = "create" if status == _CREATED else route.audit
        self._write(request, f"subscription.{done}", outcome, status, None)

    def refused(self, request: Request, route: Route, error: AccessError) -> None:
        """Write down that access was refused."""
        operation = f"{route.method} {route.template}" if route.audit is None else f"subscription.{route.audit}"
        self._write(request, operation, "refused", status_of(error), error.code)

    def _write(self, request: Request, operation: str, outcome: str, status: int, code: str | None) -> None:
        principal = request.principal
        audited = Audited(
            operation,
            _resource(request),
            outcome,
            principal.name or None,
            request.action,
            tuple(sorted(principal.roles)),
            status,
            code,
            request.request_id,
            request.peer or None,
        )
        self._sink.write(audit_line(audited, self._now()))


def _resource(request: Request) -> str:
    params, principal = request.params, request.principal
    if "topic" in params:
        return f"topics/{params['topic']}"
    if "name" in params:
        return f"subscriptions/{params.get('owner') or _owner(principal)}/{params['name']}"
    return request.path


def _owner(principal: Principal) -> str:
    return principal.name or "?"


class AuditLog:
    """The audit of a process, with a file of its own where it has one.

    Args:
        settings: the section.
        common: takes the lines where there is no file.
        metrics: where dropped lines are counted.

    Raises:
        ValueError: the file cannot be opened.
    """

    def __init__(self, settings: AuditSettings, common: AccessLog, metrics: Metrics) -> None:
        self._descriptor = -1
        self._own: AccessLog | None = None
        if settings.enabled and settings.file is not None:
            self._descriptor = _opened(settings.file)
            self._own = AccessLog(self._descriptor, settings.max_waiting_bytes, metrics)
        self.audit = Audit(self._own or common) if settings.enabled else None
        """What writes the lines, None where nothing is written."""

    def start(self) -> None:
        """Begin to write; needs the running loop."""
        if self._own is not None:
            self._own.start()

    def stop(self) -> None:
        """Write what is left, within two seconds."""
        if self._own is not None:
            self._own.stop()
            os.close(self._descriptor)


def require_writable(settings: AuditSettings) -> None:
    """Find out whether there is somewhere to write to, before something is done that has to be written down.

    Raises:
        ValueError: the file cannot be opened.
    """
    if settings.enabled and settings.file is not None:
        os.close(_opened(settings.file))


def append(settings: AuditSettings, audited: Audited) -> None:
    """Write a line from a command: to the file, or to standard error where there is none.

    Args:
        settings: the section.
        audited: what it says.

    Raises:
        ValueError: the file cannot be opened.
    """
    if not settings.enabled:
        return
    line = audit_line(audited, time.time())
    if settings.file is None:
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
        return
    descriptor = _opened(settings.file)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def _opened(path: str) -> int:
    # Appended to by several processes and moved by whoever rotates it; nobody else's business.
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ValueError(f"audit.file cannot be opened: {error.strerror}") from None
