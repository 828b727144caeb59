"""The times that the chart gives a pod, read from the chart."""

import re
from pathlib import Path
from typing import NamedTuple, Self

import yaml

CHART = Path(__file__).resolve().parents[2] / "helm"


class Timings(NamedTuple):
    """How Kubernetes deals with a pod; all in seconds but for the counts.

    Args:
        readiness_period: between two readiness probes.
        readiness_failures: probes that fail in a row until no more requests come.
        liveness_period: between two liveness probes.
        liveness_failures: probes that fail in a row until the container is killed.
        min_ready: how long a new pod has to be ready before an old one goes.
        pre_stop: from a pod's deletion to SIGTERM.
        drain: the gateway's own time after SIGTERM.
        grace: from a pod's deletion to SIGKILL.
    """

    readiness_period: float
    readiness_failures: int
    liveness_period: float
    liveness_failures: int
    min_ready: float
    pre_stop: float
    drain: float
    grace: float

    @property
    def removal(self) -> float:
        """How long load balancers go on sending to a pod that was deleted.

        It is what docs/kubernetes.md asks ``pre_stop`` to be longer than.
        """
        return self.readiness_period * self.readiness_failures

    def scaled(self, factor: float) -> Self:
        """All times shorter by a factor, their ratios kept."""
        counts = {"readiness_failures", "liveness_failures"}
        return self._replace(**{name: value * factor for name, value in self._asdict().items() if name not in counts})


def of_chart() -> Timings:
    """The chart's own."""
    drain = yaml.safe_load((CHART / "values.yaml").read_text())["drain"]
    deployment = (CHART / "templates" / "deployment.yaml").read_text()
    readiness, liveness = _probe(deployment, "readinessProbe"), _probe(deployment, "livenessProbe")
    [min_ready] = re.findall(r"^  minReadySeconds: (\d+)$", deployment, re.MULTILINE)
    grace = re.search(r"terminationGracePeriodSeconds: \{\{ add ([^}]*) \}\}", deployment)
    assert grace is not None
    parts = [name.removeprefix(".Values.drain.") for name in grace[1].split()]
    return Timings(
        readiness["periodSeconds"],
        readiness["failureThreshold"],
        liveness["periodSeconds"],
        liveness["failureThreshold"],
        int(min_ready),
        drain["preStopSeconds"],
        drain["seconds"],
        sum(drain[part] for part in parts),
    )


def _probe(deployment: str, name: str) -> dict[str, int]:
    """The numbers of a probe: the lines that are further in than its name."""
    found = re.search(rf"^( +){name}:\n((?:\1 +.*\n)+)", deployment, re.MULTILINE)
    assert found is not None, name
    return {key: int(value) for key, value in re.findall(r"(\w+): (\d+)$", found[2], re.MULTILINE)}
