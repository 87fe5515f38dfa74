"""The custom resources that the chart makes, as JSON schemas: the fields that we use of what their operators take, and no other.

Kubernetes' own schemas do not know them. From their references: gateway-api.sigs.k8s.io/reference/spec,
prometheus-operator.dev/docs/api-reference/api, external-secrets.io/latest/api,
keda.sh/docs/latest/reference/scaledobject-spec and …/scalers/prometheus.
"""

from typing import Any, Final

_TEXT: Final = {"type": "string", "minLength": 1}
_COUNT: Final = {"type": "integer", "minimum": 1}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    properties = required | (optional or {})
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": item}


def _resource(spec: dict[str, Any]) -> dict[str, Any]:
    return _object({"apiVersion": _TEXT, "kind": _TEXT, "metadata": {"type": "object"}, "spec": spec})


_SELECTOR: Final = _object({"matchLabels": {"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}}})
_DURATION: Final = {"pattern": "^([0-9]+(ms|s|m|h))+$"}
_RELABELINGS: Final = _list(
    _object(
        {},
        {
            "action": _TEXT,
            "sourceLabels": _list(_TEXT),
            "targetLabel": _TEXT,
            "regex": _TEXT,
            "replacement": {"type": "string"},
            "separator": {"type": "string"},
            "modulus": _COUNT,
        },
    )
)
_ENDPOINTS: Final = _list(
    _object(
        {"port": _TEXT, "path": {"const": "/metrics"}},
        {
            "interval": _DURATION,
            "scrapeTimeout": _DURATION,
            "relabelings": _RELABELINGS,
            "metricRelabelings": _RELABELINGS,
        },
    )
)
_RULES: Final = _list(
    {
        "oneOf": [
            _object({"record": _TEXT, "expr": _TEXT}, {"labels": {"type": "object"}}),
            _object(
                {"alert": _TEXT, "expr": _TEXT, "labels": {"type": "object"}, "annotations": {"type": "object"}},
                {"for": _DURATION},
            ),
        ]
    }
)
_NAMESPACES: Final = _object({"matchNames": _list(_TEXT)})
_SCALING: Final = _object(
    {
        "stabilizationWindowSeconds": {"type": "integer", "minimum": 0, "maximum": 3600},
        "policies": _list(_object({"type": {"enum": ["Pods", "Percent"]}, "value": _COUNT, "periodSeconds": _COUNT})),
    },
    {"selectPolicy": {"enum": ["Max", "Min", "Disabled"]}},
)
_PROMETHEUS: Final = _object(
    # KEDA reads all metadata as strings.
    {"serverAddress": {"pattern": "^https?://"}, "query": _TEXT, "threshold": {"type": "string", "pattern": "^[0-9]+$"}},
    {"ignoreNullValues": {"enum": ["true", "false"]}},
)
_PATH_MATCH: Final = _object({"path": _object({"type": {"enum": ["Exact", "PathPrefix"]}, "value": {"pattern": "^/"}})})
_BACKEND: Final = _object({"name": _TEXT, "port": _COUNT})

CUSTOM_RESOURCES: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "gateway.networking.k8s.io/v1": {
        "HTTPRoute": _resource(
            _object(
                {
                    "parentRefs": _list(
                        _object(
                            {"name": _TEXT},
                            {"namespace": _TEXT, "sectionName": _TEXT, "port": _COUNT, "kind": _TEXT, "group": _TEXT},
                        )
                    ),
                    # No timeouts: GKE rejects a route that has them.
                    "rules": _list(_object({"matches": _list(_PATH_MATCH), "backendRefs": _list(_BACKEND)})),
                },
                {"hostnames": _list(_TEXT)},
            )
        )
    },
    "monitoring.coreos.com/v1": {
        "PodMonitor": _resource(
            _object({"selector": _SELECTOR, "namespaceSelector": _NAMESPACES, "podMetricsEndpoints": _ENDPOINTS})
        ),
        "ServiceMonitor": _resource(_object({"selector": _SELECTOR, "namespaceSelector": _NAMESPACES, "endpoints": _ENDPOINTS})),
        "PrometheusRule": _resource(
            _object({"groups": _list(_object({"name": _TEXT, "rules": _RULES}, {"interval": _DURATION}))})
        ),
    },
    "external-secrets.io/v1": {
        "ExternalSecret": _resource(
            _object(
                {
                    "refreshInterval": _DURATION,
                    "secretStoreRef": _object({"kind": {"enum": ["SecretStore", "ClusterSecretStore"]}, "name": _TEXT}),
                    "target": _object({"name": _TEXT}),
                    "data": _list(_object({"secretKey": _TEXT, "remoteRef": _object({"key": _TEXT}, {"property": _TEXT})})),
                }
            )
        )
    },
    "keda.sh/v1alpha1": {
        "ScaledObject": _resource(
            _object(
                {
                    "scaleTargetRef": _object({"name": _TEXT}),
                    "minReplicaCount": _COUNT,
                    "maxReplicaCount": _COUNT,
                    "triggers": _list(_object({"type": {"const": "prometheus"}, "metadata": _PROMETHEUS})),
                    "fallback": _object(
                        {"failureThreshold": _COUNT, "replicas": _COUNT},
                        {
                            "behavior": {
                                "enum": ["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"]
                            }
                        },
                    ),
                },
                {
                    "advanced": _object(
                        {
                            "horizontalPodAutoscalerConfig": _object(
                                {"behavior": _object({"scaleDown": _SCALING}, {"scaleUp": _SCALING})}
                            )
                        }
                    )
                },
            )
        )
    },
}
