"""What the chart uses of resources that Kubernetes itself does not know, as their operators define them."""

from typing import Any

from jsonschema import Draft202012Validator

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
_DURATION: Schema = {"type": "string", "pattern": "^(0|([0-9]+(ms|s|m|h))+)$"}
_COUNT: Schema = {"type": "integer", "minimum": 0}


def _table(properties: Schema, *required: str) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": list(required)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": items}


def _resource(version: str, kind: str, spec: Schema) -> Schema:
    metadata = _table({"name": _TEXT, "labels": _TEXTS, "annotations": _TEXTS}, "name", "labels")
    fixed = {"apiVersion": {"const": version}, "kind": {"const": kind}}
    return _table({**fixed, "metadata": metadata, "spec": spec}, "apiVersion", "kind", "metadata", "spec")


_RULE = _table(
    {"alert": _TEXT, "expr": _TEXT, "for": _DURATION, "labels": _TEXTS, "annotations": _TEXTS}, "alert", "expr"
)
_TRIGGER = _table(
    {
        "type": _TEXT,
        "name": _TEXT,
        "metricType": {"enum": ["AverageValue", "Value", "Utilization"]},
        # Every value is a string there; a number is refused.
        "metadata": _TEXTS,
        "authenticationRef": _table({"name": _TEXT, "kind": _TEXT}, "name"),
    },
    "type",
    "metadata",
)
_PATH_MATCH = _table({"path": _table({"type": {"enum": ["Exact", "PathPrefix"]}, "value": _TEXT}, "type", "value")})
_PARENT = _table(
    {"group": _TEXT, "kind": _TEXT, "namespace": _TEXT, "name": _TEXT, "sectionName": _TEXT, "port": _COUNT}, "name"
)
_FALLBACK = _table(
    {"failureThreshold": _COUNT, "replicas": _COUNT, "behavior": {"enum": ["currentReplicasIfHigher"]}}
)

SCHEMAS: dict[str, Schema] = {
    "ServiceMonitor": _resource(
        "monitoring.coreos.com/v1",
        "ServiceMonitor",
        _table(
            {
                "selector": _table({"matchLabels": _TEXTS}, "matchLabels"),
                "namespaceSelector": _table({"matchNames": _list(_TEXT)}),
                "endpoints": _list(_table({"port": _TEXT, "path": _TEXT, "interval": _DURATION}, "port")),
            },
            "selector",
            "endpoints",
        ),
    ),
    "PrometheusRule": _resource(
        "monitoring.coreos.com/v1",
        "PrometheusRule",
        _table({"groups": _list(_table({"name": _TEXT, "rules": _list(_RULE)}, "name", "rules"))}, "groups"),
    ),
    "HTTPRoute": _resource(
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        _table(
            {
                "parentRefs": _list(_PARENT),
                "hostnames": _list(_TEXT),
                "rules": _list(
                    _table(
                        {
                            "matches": _list(_PATH_MATCH),
                            "backendRefs": _list(_table({"name": _TEXT, "port": _COUNT}, "name", "port")),
                            "timeouts": _table({"request": _DURATION, "backendRequest": _DURATION}),
                        },
                        "backendRefs",
                    )
                ),
            },
            "parentRefs",
            "rules",
        ),
    ),
    "ScaledObject": _resource(
        "keda.sh/v1alpha1",
        "ScaledObject",
        _table(
            {
                "scaleTargetRef": _table({"name": _TEXT}, "name"),
                "minReplicaCount": _COUNT,
                "maxReplicaCount": _COUNT,
                "pollingInterval": _COUNT,
                "cooldownPeriod": _COUNT,
                "fallback": _FALLBACK,
                "advanced": _table({"horizontalPodAutoscalerConfig": _table({"behavior": {"type": "object"}})}),
                "triggers": _list(_TRIGGER),
            },
            "scaleTargetRef",
            "triggers",
        ),
    ),
}


def check(resource: dict[str, Any]) -> None:
    """Refuse what its operator would refuse.

    Raises:
        jsonschema.ValidationError: it has a field that is unknown, missing or of the wrong kind.
    """
    Draft202012Validator(SCHEMAS[resource["kind"]]).validate(resource)
