"""What the custom resources we write may look like: only fields that we know the operators to have.

Kubernetes' own kinds are checked by kubernetes-validate. These are not the operators' schemas but narrower ones, so
that a misspelt field, which an operator would drop without a word, is an error here.
Source: the references of Strimzi (v1), CloudNativePG, its Barman Cloud plugin, KEDA and the Prometheus operator.
"""

from typing import Any, Final

Schema = dict[str, Any]


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


def _one_of(*values: object) -> Schema:
    return {"enum": list(values)}


TEXT: Final[Schema] = {"type": "string", "minLength": 1}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
FLAG: Final[Schema] = {"type": "boolean"}
SCALARS: Final[Schema] = {"type": "object", "additionalProperties": {"type": ["string", "integer", "boolean"]}}
TEXTS: Final[Schema] = {"type": "object", "additionalProperties": TEXT}
DURATION: Final[Schema] = {"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"}
QUANTITY: Final[Schema] = {"type": "string", "pattern": "^[0-9.]+(m|[KMGT]i?)?$"}
QUANTITIES: Final[Schema] = _object({"cpu": QUANTITY, "memory": QUANTITY})
RESOURCES: Final[Schema] = _object({"requests": QUANTITIES, "limits": QUANTITIES})
REFERENCE: Final[Schema] = _object({"name": TEXT})
KEY: Final[Schema] = _object({"name": TEXT, "key": TEXT})
PARAMETER: Final[Schema] = _object({"name": TEXT, "key": TEXT, "parameter": TEXT})
SELECTOR: Final[Schema] = _object({"matchLabels": TEXTS})
SPREAD: Final[Schema] = _object(
    {
        "topologyKey": TEXT,
        "maxSkew": COUNT,
        "whenUnsatisfiable": _one_of("ScheduleAnyway", "DoNotSchedule"),
        "labelSelector": SELECTOR,
    }
)
VOLUME: Final[Schema] = _object(
    {"id": COUNT, "type": _one_of("persistent-claim"), "size": QUANTITY},
    {"deleteClaim": FLAG, "kraftMetadata": _one_of("shared"), "class": TEXT},
)
ACL: Final[Schema] = _object(
    {
        "resource": _object(
            {"type": _one_of("topic", "group"), "name": TEXT, "patternType": _one_of("literal", "prefix")}
        ),
        "operations": _list(_one_of("Read", "Write", "Describe")),
    }
)
KAFKA: Final[Schema] = _object(
    {
        "kafka": _object(
            {
                "listeners": _list(
                    _object(
                        {
                            "name": {"type": "string", "pattern": "^[a-z0-9]{1,11}$"},
                            "port": COUNT,
                            "type": _one_of("internal"),
                            "tls": FLAG,
                            "authentication": _object({"type": _one_of("scram-sha-512")}),
                        }
                    )
                ),
                "authorization": _object({"type": _one_of("simple")}),
                "config": SCALARS,
            },
            {
                "version": TEXT,
                "metadataVersion": TEXT,
                "template": _object(
                    {},
                    {
                        "pod": _object(
                            {}, {"terminationGracePeriodSeconds": COUNT, "topologySpreadConstraints": _list(SPREAD)}
                        )
                    },
                ),
            },
        ),
        "entityOperator": _object(
            {"topicOperator": _object({"resources": RESOURCES}), "userOperator": _object({"resources": RESOURCES})}
        ),
    }
)
POSTGRES: Final[Schema] = _object(
    {
        "instances": COUNT,
        "storage": _object({"size": QUANTITY}),
        "bootstrap": _object({"initdb": _object({"database": TEXT, "owner": TEXT}, {"dataChecksums": FLAG})}),
        "managed": _object(
            {
                "roles": _list(
                    _object({"name": TEXT, "passwordSecret": REFERENCE}, {"ensure": _one_of("present"), "login": FLAG})
                )
            }
        ),
        "resources": RESOURCES,
    },
    {
        "imageName": TEXT,
        "primaryUpdateStrategy": _one_of("unsupervised", "supervised"),
        "enableSuperuserAccess": FLAG,
        "postgresql": _object(
            {},
            {
                "parameters": TEXTS,
                "pg_hba": _list(TEXT),
                "synchronous": _object(
                    {"method": _one_of("any", "first"), "number": COUNT},
                    {"dataDurability": _one_of("required", "preferred")},
                ),
            },
        ),
        "walStorage": _object({"size": QUANTITY}),
        "affinity": _object({}, {"enablePodAntiAffinity": FLAG, "topologyKey": TEXT}),
        "plugins": _list(_object({"name": TEXT}, {"isWALArchiver": FLAG, "parameters": TEXTS})),
    },
)
SCALED: Final[Schema] = _object(
    {
        "scaleTargetRef": _object({"name": TEXT}),
        "minReplicaCount": COUNT,
        "maxReplicaCount": COUNT,
        "triggers": _list(
            _object({"type": _one_of("kafka"), "metadata": TEXTS, "authenticationRef": _object({"name": TEXT})})
        ),
    },
    {
        "pollingInterval": COUNT,
        "cooldownPeriod": COUNT,
        "fallback": _object({"failureThreshold": COUNT, "replicas": COUNT}),
    },
)
RULE: Final[Schema] = _object(
    {
        "alert": TEXT,
        "expr": TEXT,
        "labels": _object({"severity": _one_of("critical", "warning")}),
        "annotations": _object({"summary": TEXT, "runbook_url": TEXT}),
    },
    {"for": DURATION},
)
COMPRESSION: Final[Schema] = _object({"compression": _one_of("gzip", "bzip2", "lz4", "snappy", "xz", "zstd")})

SPECS: Final[dict[tuple[str, str], Schema]] = {
    ("kafka.strimzi.io/v1", "Kafka"): KAFKA,
    ("kafka.strimzi.io/v1", "KafkaNodePool"): _object(
        {
            "replicas": COUNT,
            "roles": _list(_one_of("controller", "broker")),
            "storage": _object({"type": _one_of("jbod"), "volumes": _list(VOLUME)}),
            "resources": RESOURCES,
        }
    ),
    ("kafka.strimzi.io/v1", "KafkaTopic"): _object({"partitions": COUNT, "replicas": COUNT, "config": SCALARS}),
    ("kafka.strimzi.io/v1", "KafkaUser"): _object(
        {
            "authentication": _object({"type": _one_of("scram-sha-512")}),
            "authorization": _object({"type": _one_of("simple"), "acls": _list(ACL)}),
        }
    ),
    ("postgresql.cnpg.io/v1", "Cluster"): POSTGRES,
    ("postgresql.cnpg.io/v1", "Database"): _object(
        {"cluster": REFERENCE, "name": TEXT, "owner": TEXT}, {"databaseReclaimPolicy": _one_of("retain", "delete")}
    ),
    ("postgresql.cnpg.io/v1", "ScheduledBackup"): _object(
        {
            "schedule": {"type": "string", "pattern": r"^(\S+ ){5}\S+$"},
            "cluster": REFERENCE,
            "method": _one_of("plugin"),
            "pluginConfiguration": REFERENCE,
        },
        {"backupOwnerReference": _one_of("none", "self", "cluster"), "immediate": FLAG},
    ),
    ("barmancloud.cnpg.io/v1", "ObjectStore"): _object(
        {
            "configuration": _object(
                {
                    "destinationPath": TEXT,
                    "s3Credentials": _object({"accessKeyId": KEY, "secretAccessKey": KEY}),
                },
                {"endpointURL": TEXT, "wal": COMPRESSION, "data": COMPRESSION},
            )
        },
        {"retentionPolicy": {"type": "string", "pattern": "^[1-9][0-9]*[dwm]$"}},
    ),
    ("keda.sh/v1alpha1", "ScaledObject"): SCALED,
    ("keda.sh/v1alpha1", "TriggerAuthentication"): _object(
        {"secretTargetRef": _list(PARAMETER)}, {"configMapTargetRef": _list(PARAMETER)}
    ),
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _object(
        {
            "selector": SELECTOR,
            "endpoints": _list(
                _object(
                    {"port": TEXT, "path": TEXT, "honorLabels": FLAG}, {"interval": DURATION, "scrapeTimeout": DURATION}
                )
            ),
        }
    ),
    ("monitoring.coreos.com/v1", "PodMonitor"): _object(
        {"selector": SELECTOR, "podMetricsEndpoints": _list(_object({"port": TEXT, "interval": DURATION}))}
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): _object(
        {"groups": _list(_object({"name": TEXT, "rules": _list(RULE)}))}
    ),
}
"""(apiVersion, kind) → the schema of `spec`."""
