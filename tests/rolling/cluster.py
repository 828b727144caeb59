"""As much of Kubernetes as a rolling update needs: kubelets that probe and end pods, a Service, a Deployment.

The waits in here are Kubernetes' own, so they pass on the clock.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from tests.end_to_end.process import PATIENCE, GatewayProcess
from tests.end_to_end.subscriptions.consuming import Caller, pause
from tests.end_to_end.subscriptions.replicas import KEYS, Replicas
from tests.end_to_end.wire import Answer, Unanswered, Wire
from tests.rolling.timings import Timings


class Pod:
    """A gateway's process under a kubelet.

    Args:
        process: started, and perhaps not ready yet.
        timings: the chart's.
        service: gets to know whether it is ready.
    """

    def __init__(self, process: GatewayProcess, timings: Timings, service: "Service") -> None:
        self.process = process
        self.ready_since: float | None = None
        self.is_deleted = False
        self.restarts = 0
        self.removals = 0
        """How often it was taken out of the Service because it was not ready."""
        self.exit_status: int | None = None
        """None also when it had to be killed."""
        self._timings = timings
        self._service = service
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Probe it until it has ended."""
        async with asyncio.TaskGroup() as probes:
            probes.create_task(self._probe_readiness())
            probes.create_task(self._probe_liveness())

    async def until_available(self) -> None:
        """Wait until it has been ready for as long as the Deployment wants."""
        deadline = time.monotonic() + PATIENCE
        while self.ready_since is None or time.monotonic() - self.ready_since < self._timings.min_ready:
            assert time.monotonic() < deadline, f"a pod does not become available:\n{self.process.err[-4_000:]}"
            await pause()

    async def delete(self) -> None:
        """End it: at the same time the Service learns of it and the kubelet begins with the wait before SIGTERM."""
        self.is_deleted = True
        async with asyncio.TaskGroup() as sides:
            sides.create_task(self._forget())
            sides.create_task(self._terminate())

    async def _forget(self) -> None:
        await passed(self._timings.removal)
        self._service.remove(self)

    async def _terminate(self) -> None:
        await passed(self._timings.pre_stop)
        self.process.sigterm()
        left = self._timings.grace - self._timings.pre_stop
        try:
            self.exit_status = await asyncio.to_thread(self.process.ended, left)
        except AssertionError:
            self.process.kill()
        self._over.set()

    async def _probe_readiness(self) -> None:
        failures = 0
        while not self._over.is_set():
            failures = 0 if await self._probe("/readyz") else failures + 1
            if failures == 0 and not self.is_deleted:
                self.ready_since = self.ready_since or time.monotonic()
                self._service.add(self)
            elif failures >= self._timings.readiness_failures:
                self.removals += self.ready_since is not None
                self.ready_since = None
                self._service.remove(self)
            await self._until_over(self._timings.readiness_period)

    async def _probe_liveness(self) -> None:
        # The startup probe comes first.
        while self.ready_since is None and not self._over.is_set():
            await pause()
        failures = 0
        while not self._over.is_set():
            failures = 0 if self.is_deleted or await self._probe("/livez") else failures + 1
            self.restarts += failures == self._timings.liveness_failures
            await self._until_over(self._timings.liveness_period)

    async def _probe(self, path: str) -> bool:
        return await asyncio.to_thread(self.process.probe, path) == 200

    async def _until_over(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)


class Service:
    """Where new connections go: to each ready pod in turn. Connections that are open stay where they are."""

    def __init__(self) -> None:
        self._pods: list[Pod] = []
        self._turn = 0

    def add(self, pod: Pod) -> None:
        """A pod is ready."""
        if pod not in self._pods:
            self._pods.append(pod)

    def remove(self, pod: Pod) -> None:
        """A pod gets no more connections."""
        if pod in self._pods:
            self._pods.remove(pod)

    def __len__(self) -> int:
        return len(self._pods)

    async def connected(self) -> Wire:
        """A connection to the next pod; nothing else is tried where that one takes none.

        Raises:
            OSError: it takes none, or there is no pod.
        """
        if not self._pods:
            raise ConnectionRefusedError("no pod is ready")
        self._turn += 1
        pod = self._pods[self._turn % len(self._pods)]
        return Wire(*await asyncio.open_connection("127.0.0.1", pod.process.port))


class Failure(NamedTuple):
    """A request that was not answered with a success.

    Args:
        what: method and last part of the path.
        status: of the answer; 0 without one.
        how: code of the problem, or what happened to the connection.
        retry_after: as the header says it.
        seconds: how long it took.
    """

    what: str
    status: int
    how: str
    retry_after: str | None
    seconds: float


class Customer(Caller):
    """A client that tries nothing twice.

    Args:
        service: its way in.
        keeps: whether its connection stays open for its next request.
    """

    def __init__(self, service: Service, *, keeps: bool = True) -> None:
        super().__init__([], KEYS["care"])
        self.failures: list[Failure] = []
        """Requests that were not answered with a success."""
        self._service = service
        self._keeps = keeps
        self._open: Wire | None = None

    async def call(self, method: str, path: str, document: Any = None, **headers: str) -> Answer:
        what, began = f"{method} {path.rpartition('/')[2]}", time.monotonic()
        try:
            answer = await super().call(method, path, document, **headers)
        except Unanswered as unanswered:
            how = type(unanswered.__cause__).__name__
            self.failures.append(Failure(what, 0, how, None, time.monotonic() - began))
            raise
        if answer.status >= 400:
            how, retry_after = answer.json()["code"], answer.headers.get("retry-after")
            self.failures.append(Failure(what, answer.status, how, retry_after, time.monotonic() - began))
        return answer

    def close(self) -> None:
        if self._open is not None:
            self._open.close()

    async def _next(self) -> Wire:
        # A connection whose end was heard is not used, as in every HTTP client; that is no second try.
        wire = self._open
        if wire is None or not wire.open or wire.is_over() or not self._keeps:
            self.close()
            try:
                wire = self._open = await self._service.connected()
            except OSError as error:
                # Who asks again at once would leave nobody else any time.
                await pause()
                raise Unanswered from error
        return wire


class Deployment:
    """Pods behind a Service, and their replacement one by one: one more than wanted, never one less.

    Args:
        replicas: the processes; those that run are the first pods.
        timings: the chart's.
    """

    def __init__(self, replicas: Replicas, timings: Timings) -> None:
        self.service = Service()
        self.pods: list[Pod] = []
        self._replicas = replicas
        self._timings = timings
        self._kubelets: list[asyncio.Task[None]] = []
        self._endings: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Kubelets work until the end of the block; the pods' processes are left as they are."""
        for process in self._replicas.running:
            self._adopt(process)
        for pod in self.pods:
            await pod.until_available()
        try:
            yield
            await asyncio.gather(*self._endings)
        finally:
            for kubelet in self._kubelets:
                kubelet.cancel()
            await asyncio.gather(*self._kubelets, return_exceptions=True)

    async def roll(self, count: int | None = None) -> None:
        """Replace the oldest pods, all of them unless a number is given; returns when they have ended."""
        for old in self.pods[:count]:
            self._adopt(await asyncio.to_thread(self._replicas.start))
            await self.pods[-1].until_available()
            self._endings.append(asyncio.create_task(old.delete()))
        await asyncio.gather(*self._endings)

    def check(self, count: int) -> None:
        """So many pods were replaced; each ended by itself and in time, and none was restarted."""
        gone = [pod for pod in self.pods if pod.is_deleted]
        assert [pod.exit_status for pod in gone] == [0] * count
        assert [pod.restarts for pod in self.pods] == [0] * len(self.pods)
        assert len(self.service) == len(self.pods) - count

    def _adopt(self, process: GatewayProcess) -> None:
        pod = Pod(process, self._timings, self.service)
        self.pods.append(pod)
        self._kubelets.append(asyncio.create_task(pod.run()))


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        await pause()


async def passed(seconds: float) -> None:
    """Let Kubernetes' own time pass."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.get_running_loop().create_future(), seconds)
