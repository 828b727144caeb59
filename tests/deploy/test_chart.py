"""The chart, rendered by the real helm, gives resources that Kubernetes takes and that fit each other."""

import re
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import trustme
import yaml
from tests.deploy import custom
from tests.deploy.chart import EVERYTHING, FOLDER, PLAIN, VALUES, Chart, Resource, container, one, toml
from tests.deploy.tools import ROOT
from tests.end_to_end.process import run

from eventbus_gateway import __version__
from eventbus_gateway.api.internal import Internal
from eventbus_gateway.api.table import internal_routes
from eventbus_gateway.telemetry import Metrics

VERSIONS = ("1.30", "1.33", kubernetes_validate.latest_version())
NAME = "eb-eventbus-gateway"
SELECTOR = {"app.kubernetes.io/name": "eventbus-gateway", "app.kubernetes.io/instance": "eb"}
KEDA = "autoscaling: {enabled: false}\nkeda: {enabled: true, prometheus: {serverAddress: http://prometheus:9090}}"
IN_PLACE = "/etc/eventbus/"
SECRET = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n"
AUTHORITY = trustme.CA().cert_pem.bytes().decode()

every_values_file = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)


def pod(resources: list[Resource]) -> dict[str, Any]:
    found = one(resources, "Deployment")["spec"]["template"]
    assert isinstance(found, dict)
    return found


def settings(resources: list[Resource]) -> dict[str, Any]:
    return tomllib.loads(toml(resources))


def validated(resources: list[Resource]) -> set[str]:
    """Check them all; their kinds."""
    for resource in resources:
        if resource["kind"] in custom.SCHEMAS:
            custom.check(resource)
            continue
        for version in VERSIONS:
            kubernetes_validate.validate(resource, version, strict=True)
    return {resource["kind"] for resource in resources}


@every_values_file
def test_every_values_file_gives_resources_that_kubernetes_takes(chart: Chart, values: Path) -> None:
    kinds = validated(chart.render(values))
    assert {"Deployment", "Service", "ConfigMap", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"} <= kinds


def test_everything_that_can_be_switched_on_gives_resources_that_kubernetes_takes(chart: Chart) -> None:
    resources = chart.render(PLAIN, EVERYTHING)
    expected = {"Ingress", "HTTPRoute", "HorizontalPodAutoscaler", "ServiceMonitor", "PrometheusRule"}
    assert expected <= validated(resources)
    assert one(resources, "ServiceAccount")["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].endswith(
        "eventbus"
    )
    assert container(resources)["image"] == f"eventbus-gateway:{__version__}@sha256:{'a' * 64}"
    assert "ScaledObject" in validated(chart.render(PLAIN, KEDA))


def test_a_mistake_in_a_resource_would_be_seen(chart: Chart) -> None:
    for resource, field in (("Deployment", "replica"), ("Service", "selectors")):
        wrong = {**one(chart.render(PLAIN), resource, NAME)}
        wrong["spec"] = {**wrong["spec"], field: 1}
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


@every_values_file
def test_helm_finds_nothing_to_complain_about(chart: Chart, values: Path) -> None:
    done = chart.run("lint", values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout


@every_values_file
def test_the_gateway_itself_takes_the_configuration_of_every_values_file(
    chart: Chart, values: Path, tmp_path: Path
) -> None:
    resources = chart.render(values)
    for path in mounted_files(resources):
        file = tmp_path / path.removeprefix(IN_PLACE)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(AUTHORITY if file.suffix == ".pem" else SECRET)
    file = tmp_path / "gateway.toml"
    file.write_text(toml(resources).replace(IN_PLACE, f"{tmp_path}/"))
    environ = {each["name"]: each["value"] for each in container(resources)["env"] if "value" in each}
    address = environ["EVENTBUS_SUBSCRIPTIONS__ADVERTISED_ADDRESS"].replace("$(POD_IP)", "10.0.0.7")
    environ["EVENTBUS_SUBSCRIPTIONS__ADVERTISED_ADDRESS"] = address
    status, out, err = run("check-config", "--config", str(file), environ=environ)
    assert status == 0, err
    assert address in out


def mounted_files(resources: list[Resource]) -> set[str]:
    """Where the container finds files of Secrets and ConfigMaps."""
    spec = pod(resources)["spec"]
    places = {mount["name"]: mount["mountPath"] for mount in container(resources)["volumeMounts"]}
    return {
        f"{places[volume['name']]}/{item['path']}"
        for volume in spec["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
        for item in (source.get("secret") or source.get("configMap"))["items"]
    }


@every_values_file
def test_every_file_that_the_configuration_names_is_mounted(chart: Chart, values: Path) -> None:
    resources = chart.render(values)
    named = {
        value
        for keys in settings(resources).values()
        for key, value in keys.items()
        if isinstance(value, str) and value.startswith("/")
    }
    assert named == mounted_files(resources)


@every_values_file
def test_no_secret_is_in_the_chart_only_where_it_is(chart: Chart, values: Path) -> None:
    resources = chart.render(values)
    assert "Secret" not in {resource["kind"] for resource in resources}
    secrets = [f"{section}.{key}" for section, keys in settings(resources).items() for key in keys]
    assert not {"kafka.sasl_password", "registry.password", "subscriptions.peer_secret"} & set(secrets)
    assert "subscriptions.peer_secret_file" in secrets


def test_any_value_of_the_configuration_arrives_as_it_was_given(chart: Chart) -> None:
    config: dict[str, dict[str, Any]] = {
        "publish": {"max_event_bytes": 16777216, "idempotency_window_seconds": 0.5},
        "http": {"access_log": False},
        "webhooks": {"denied_hosts": ['a "quoted" \\ back', "<&>", "ümläut\n"]},
        "auth": {"grants": [{"principal": "*", "actions": ["read"], "topics": ["a.*", "b"]}, {"role": "x"}]},
        "topics": {"clinic.visits": {"key": "/visitId", "schema_version": 3}, "labs": {"format": "json"}},
    }
    found = settings(chart.render(PLAIN, yaml.safe_dump({"config": config})))
    for section, keys in config.items():
        for key, value in keys.items():
            assert found[section][key] == value
            assert type(found[section][key]) is type(value)


def test_a_changed_configuration_starts_new_pods(chart: Chart) -> None:
    def checksum(more: str = "") -> str:
        return str(pod(chart.render(PLAIN, more))["metadata"]["annotations"]["checksum/config"])

    assert checksum() != checksum("config: {http: {access_log: false}}")
    assert checksum() == checksum("replicas: 5")


@every_values_file
def test_selectors_find_the_pods_and_nothing_else(chart: Chart, values: Path) -> None:
    resources = chart.render(values)
    labels = pod(resources)["metadata"]["labels"]
    assert labels.items() >= SELECTOR.items()
    policy = one(resources, "NetworkPolicy")["spec"]
    selectors = [
        one(resources, "Deployment")["spec"]["selector"]["matchLabels"],
        one(resources, "Service", NAME)["spec"]["selector"],
        one(resources, "Service", "-peers")["spec"]["selector"],
        one(resources, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        policy["podSelector"]["matchLabels"],
        policy["ingress"][1]["from"][0]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in pod(resources)["spec"]["topologySpreadConstraints"]),
    ]
    assert all(selector == SELECTOR for selector in selectors)


def test_metrics_are_collected_from_each_replica_and_not_through_the_callers_service(chart: Chart) -> None:
    resources = chart.render(PLAIN, EVERYTHING)
    wanted = one(resources, "ServiceMonitor")["spec"]
    services = [
        service
        for service in resources
        if service["kind"] == "Service"
        and service["metadata"]["labels"].items() >= wanted["selector"]["matchLabels"].items()
    ]
    (peers,) = services
    assert peers["spec"]["clusterIP"] == "None"
    assert [port["name"] for port in peers["spec"]["ports"]] == [wanted["endpoints"][0]["port"]]


def test_probes_ask_the_internal_port_for_paths_that_it_has(chart: Chart) -> None:
    routes = {route.template for route in internal_routes(Internal(Metrics(), lambda: "ready"))}
    main = container(chart.render(PLAIN))
    probes = {name: main[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
    assert {probe["httpGet"]["port"] for probe in probes.values()} == {"internal"}
    assert {probe["httpGet"]["path"] for probe in probes.values()} <= routes
    # Readiness ends when draining begins; being alive does not, or the kubelet would kill what drains.
    assert probes["readiness"]["httpGet"]["path"] == "/readyz"
    assert {probes[name]["httpGet"]["path"] for name in ("startup", "liveness")} == {"/livez"}


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
@pytest.mark.parametrize("drain", [None, {"preStopSeconds": 5, "seconds": 90, "marginSeconds": 12}])
def test_the_times_of_a_pods_end_lie_within_each_other(
    chart: Chart, values: Path, drain: dict[str, int] | None
) -> None:
    more = {
        "ingress": {"enabled": True, "alb": True, "hosts": ["a.example.org"]},
        **({"drain": drain} if drain else {}),
    }
    resources = chart.render(values, yaml.safe_dump(more))
    spec, main = pod(resources)["spec"], container(resources)
    pause, drained = main["lifecycle"]["preStop"]["sleep"]["seconds"], settings(resources)["http"]["drain_seconds"]
    # What follows the last answer: subscriptions are given back (release_timeout_seconds), clients are closed.
    assert spec["terminationGracePeriodSeconds"] >= pause + drained + 10
    readiness = main["readinessProbe"]
    alb = one(resources, "Ingress")["metadata"]["annotations"]
    told = int(
        alb["alb.ingress.kubernetes.io/target-group-attributes"].removeprefix("deregistration_delay.timeout_seconds=")
    )
    assert pause + drained <= told <= spec["terminationGracePeriodSeconds"]
    if drain is None:
        # Load balancers that were not told, but ask for themselves, know by then too.
        assert pause >= readiness["periodSeconds"] * readiness["failureThreshold"]


def test_ports_are_those_of_the_configuration(chart: Chart) -> None:
    resources = chart.render(PLAIN, "ports: {public: 9001, internal: 9002}")
    http, main = settings(resources)["http"], container(resources)
    assert {port["name"]: port["containerPort"] for port in main["ports"]} == {"http": 9001, "internal": 9002}
    assert (http["port"], http["internal_port"]) == (9001, 9002)
    assert http["host"] == http["internal_host"] == "0.0.0.0"  # noqa: S104
    assert {"name": "EVENTBUS_SUBSCRIPTIONS__ADVERTISED_ADDRESS", "value": "$(POD_IP):9002"} in main["env"]
    named = {port["targetPort"] for each in resources if each["kind"] == "Service" for port in each["spec"]["ports"]}
    assert named == {"http", "internal"}


def test_pods_with_ipv6_addresses_listen_and_are_found_there(chart: Chart) -> None:
    resources = chart.render(PLAIN, "ipFamily: IPv6")
    assert settings(resources)["http"]["host"] == "::"
    assert "[$(POD_IP)]:8081" in {each.get("value") for each in container(resources)["env"]}


@every_values_file
def test_pods_have_no_rights_that_they_do_not_need(chart: Chart, values: Path) -> None:
    resources = chart.render(values)
    spec, security = pod(resources)["spec"], container(resources)["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 65532
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert one(resources, "ServiceAccount")["automountServiceAccountToken"] is False
    assert all(mount.get("readOnly") for mount in container(resources)["volumeMounts"] if mount["name"] != "tmp")


@every_values_file
def test_the_network_lets_through_what_the_configuration_needs_and_no_metadata(chart: Chart, values: Path) -> None:
    resources = chart.render(values)
    config, egress = settings(resources), one(resources, "NetworkPolicy")["spec"]["egress"]
    ports = {port["port"] for rule in egress for port in rule["ports"]}
    assert {int(each.rsplit(":")[-1]) for each in config["kafka"]["bootstrap_servers"].split(",")} <= ports
    registry = config["registry"].get("url", "https://")
    assert (443 if registry.startswith("https") else 8081) in ports
    blocks = [to["ipBlock"] for rule in egress for to in rule.get("to", ()) if "ipBlock" in to]
    assert all("169.254.0.0/16" in block["except"] for block in blocks if block["cidr"] == "0.0.0.0/0")


def test_the_collector_of_traces_is_reached_where_there_is_one(chart: Chart) -> None:
    def ports(enabled: str) -> set[int]:
        told = f'config: {{tracing: {{enabled: {enabled}, endpoint: "http://collector:4318/v1/traces"}}}}'
        egress = one(chart.render(PLAIN, told), "NetworkPolicy")["spec"]["egress"]
        return {port["port"] for rule in egress for port in rule["ports"]}

    assert ports("true") - ports("false") == {4318}


def test_where_no_port_is_let_out_there_is_no_rule_that_would_let_all_out(chart: Chart) -> None:
    told = "networkPolicy: {egress: {ports: []}}\nconfig: {registry: {kind: folder, url: null, folder: /schemas}}"
    egress = one(chart.render(PLAIN, told), "NetworkPolicy")["spec"]["egress"]
    assert all(rule["ports"] for rule in egress)
    assert not [
        to for rule in egress for to in rule.get("to", ()) if to.get("ipBlock", {}).get("cidr") == "0.0.0.0/0"
    ]


def test_only_replicas_and_who_is_named_reach_the_internal_port(chart: Chart) -> None:
    internal = one(chart.render(PLAIN), "NetworkPolicy")["spec"]["ingress"][1]
    assert internal["ports"] == [{"port": "internal"}]
    assert len(internal["from"]) == 2


def test_an_autoscaler_decides_the_number_of_replicas_alone(chart: Chart) -> None:
    assert one(chart.render(PLAIN), "Deployment")["spec"]["replicas"] == 3
    scaled = chart.render(PLAIN, "autoscaling: {enabled: true, inFlightRequests: 400}")
    assert "replicas" not in one(scaled, "Deployment")["spec"]
    metrics = one(scaled, "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert [metric["type"] for metric in metrics] == ["Resource", "Pods"]
    assert metrics[1]["pods"]["metric"]["name"] == "eventbus_http_in_flight_requests"
    by_keda = chart.render(PLAIN, KEDA)
    assert "replicas" not in one(by_keda, "Deployment")["spec"]
    assert (
        one(by_keda, "ScaledObject")["spec"]["scaleTargetRef"]["name"]
        == one(by_keda, "Deployment")["metadata"]["name"]
    )


def test_a_rolling_update_takes_no_replica_away_before_another_one_serves(chart: Chart) -> None:
    spec = one(chart.render(PLAIN), "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["minReadySeconds"] > 0


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ("replica: 3", "replica"),
        ("drain: {second: 3}", "second"),
        ("drain: {preStopSeconds: 0}", "preStopSeconds"),
        ("config: {http: {port: 80}}", "port"),
        ("config: {http: {drain_seconds: 300}}", "drain_seconds"),
        ("config: {subscriptions: {advertised_address: 'a:1'}}", "advertised_address"),
        ("config: {kafka: {bootstrap_servers: kafka}}", "bootstrap_servers"),
        ("config: {kafka: {bootstrap_servers: ''}}", "config.kafka.bootstrap_servers is needed"),
        ("config: {kafka: 3}", "kafka"),
        ("secrets: {kafka.sasl_password: hunter2}", "sasl_password"),
        ("secrets: {sasl_password: {existingSecret: a, key: b}}", "sasl_password"),
        ("secrets: {subscriptions.peer_secret: null}", "peer_secret"),
        ("files: {a: {key: b}}", "files"),
        ("image: {digest: latest}", "digest"),
        ("autoscaling: {enabled: true}\nkeda: {enabled: true, triggers: [{type: cron}]}", "exclude each other"),
        ("autoscaling: {enabled: true, cpuUtilization: null}", "autoscaling needs"),
        ("keda: {enabled: true}", "keda needs"),
        ("ingress: {enabled: true}", "ingress.hosts"),
        ("httpRoute: {enabled: true}", "httpRoute.parentRefs"),
        ("service: {type: Everywhere}", "type"),
        ("podLabels: {app.kubernetes.io/name: other}", "podLabels"),
    ],
)
def test_values_that_make_no_sense_are_refused_with_a_word_about_them(
    chart: Chart, wrong: str, complaint: str
) -> None:
    done = chart.run("template", PLAIN, wrong)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_the_schema_of_values_names_every_value_and_no_other() -> None:
    schema = yaml.safe_load((FOLDER / "values.schema.json").read_text())
    values = yaml.safe_load((FOLDER / "values.yaml").read_text())
    free = {"config", "podSecurityContext", "resources"}  # what Kubernetes or the gateway checks

    def compared(place: str, properties: dict[str, Any], present: dict[str, Any]) -> None:
        assert set(properties) - {"global"} == set(present), place
        for key, value in present.items():
            if key not in free and isinstance(value, dict) and "properties" in properties[key]:
                assert properties[key]["additionalProperties"] is False, key
                compared(key, properties[key]["properties"], value)

    compared("values", schema["properties"], values)


def test_the_chart_is_of_the_version_of_the_gateway() -> None:
    assert yaml.safe_load((FOLDER / "Chart.yaml").read_text())["appVersion"] == __version__


def test_the_page_explains_every_value_and_its_examples_can_be_used(chart: Chart) -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    for name in yaml.safe_load((FOLDER / "values.yaml").read_text()):
        assert f"`{name}`" in page, name
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        validated(chart.render(PLAIN, example))
    assert {path.name for path in VALUES} == set(re.findall(r"^\| `([\w-]+\.yaml)`", page, re.MULTILINE))
