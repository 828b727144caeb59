"""The chart as helm renders it."""

import subprocess
from pathlib import Path
from typing import Any

import yaml
from tests.deploy.tools import ROOT

FOLDER = ROOT / "helm"
VALUES = sorted((FOLDER / "values").glob("*.yaml"))
PLAIN = FOLDER / "values" / "plain.yaml"
EVERYTHING = """
serviceAccount: {roleArn: "arn:aws:iam::123456789012:role/eventbus"}
imagePullSecrets: [{name: pull}]
image: {digest: "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}
podLabels: {team: platform}
podAnnotations: {example.org/note: "1"}
nodeSelector: {kubernetes.io/arch: amd64}
tolerations: [{key: dedicated, operator: Exists}]
affinity: {nodeAffinity: {}}
priorityClassName: important
ipFamily: IPv6
files: {ca.pem: {existingSecret: ca, key: ca.crt}}
ingress: {enabled: true, alb: true, hosts: [a.example.org], tls: [{secretName: tls, hosts: [a.example.org]}]}
httpRoute: {enabled: true, parentRefs: [{name: gw}], hostnames: [a.example.org]}
autoscaling: {enabled: true, inFlightRequests: 400}
networkPolicy: {egress: {rules: [{ports: [{port: 8443}]}]}}
serviceMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true, without: [EventBusPublishSlow]}
dashboard: {enabled: true}
"""
"""Values beside those of plain Kafka with which everything is rendered that the chart has, but KEDA."""

Resource = dict[str, Any]


class Chart:
    """Renders and checks.

    Args:
        program: helm.
    """

    def __init__(self, program: Path) -> None:
        self._program = program
        self._rendered: dict[tuple[Path | None, str], list[Resource]] = {}

    def render(self, values: Path | None, more: str = "") -> list[Resource]:
        """All resources that these values give.

        Args:
            values: file of values, None for the chart's own alone.
            more: further values, as YAML.
        """
        key = (values, more)
        if key not in self._rendered:
            done = self.run("template", values, more)
            assert done.returncode == 0, done.stderr
            self._rendered[key] = [one for one in yaml.safe_load_all(done.stdout) if one]
        return self._rendered[key]

    def run(self, command: str, values: Path | None, more: str = "") -> subprocess.CompletedProcess[str]:
        """What helm says; ``more`` comes last, and so wins."""
        named = ("eb", str(FOLDER)) if command == "template" else (str(FOLDER), "--strict")
        files = () if values is None else ("--values", str(values))
        rest = ("--namespace", "events", "--kube-version", "1.33.0", *files, "--values", "-")
        return subprocess.run(
            [str(self._program), command, *named, *rest],
            input=more or "{}",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def one(resources: list[Resource], kind: str, suffix: str = "") -> Resource:
    """The only resource of a kind whose name ends like that."""
    (found,) = [each for each in resources if each["kind"] == kind and each["metadata"]["name"].endswith(suffix)]
    return found


def container(resources: list[Resource]) -> dict[str, Any]:
    """The gateway's container."""
    (found,) = one(resources, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def toml(resources: list[Resource]) -> str:
    """The configuration file."""
    text = next(each["data"]["eventbus.toml"] for each in resources if "eventbus.toml" in each.get("data", {}))
    assert isinstance(text, str)
    return text
